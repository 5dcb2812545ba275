package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The time-outs of the listener. Streams and long calls lift the first two for
// themselves and bound each write instead; see bounded.
const (
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// shutdownGrace is how long calls may still run once Serve is told to stop.
	shutdownGrace = 5 * time.Second
)

// HTTPServer returns a server with the settings that Serve uses, for who has
// listeners to serve in another way. Connections that arrive at the Unix sockets
// with the local addresses trusted, which only their owner may open, need no token.
func (s *Server) HTTPServer(trusted ...string) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s.handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if a := c.LocalAddr(); a != nil && a.Network() == "unix" && slices.Contains(trusted, a.String()) {
				ctx = context.WithValue(ctx, ownerKey{}, true)
			}
			return withPeer(markConn(ctx, c), c)
		},
	}
}

// Serve answers on the listeners until ctx ends or one of them fails, then ends
// the streams, gives calls five seconds, closes the listeners and the server,
// and returns. The error is nil when ctx ended. It may be called once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	if len(listeners) == 0 {
		return errors.New("serve admin: no listener")
	}
	srv := s.HTTPServer()
	failed := make(chan error, len(listeners))
	var wg sync.WaitGroup
	for _, l := range listeners {
		if l.Addr().Network() == "unix" {
			if err := ownerOnly(l.Addr().String()); err != nil {
				s.log.Warn("the admin socket needs the token", "socket", l.Addr().String(), "reason", err)
			} else {
				l = ownerListener{l}
			}
		}
		wg.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve admin on %s: %w", l.Addr(), err)
			}
		})
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.endStreams()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		s.log.Warn("admin calls were cut off", "grace", shutdownGrace)
		srv.Close() // closing twice is harmless; nothing is left to report
	}
	wg.Wait()
	s.Close()
	return err
}
