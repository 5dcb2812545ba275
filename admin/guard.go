package admin

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// maxBody bounds a request, compressed and not, in bytes.
const maxBody = 256 << 10

// consolePolicy lets the console load what the listener serves and nothing else:
// no inline script or style, no other host, no frame.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// securityHeaders tells browsers what pages and data of this listener may do.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", consolePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// noStore keeps answers out of caches.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// checkHost refuses requests for a host that is neither loopback, nor the
// address of the connection, nor one of names. A page of another site that
// points its own name at this address (DNS rebinding) gets nothing. A request
// without a host is none of a browser's and passes, and so does a Unix socket's.
func checkHost(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !hostAllowed(r.Host, local, names) {
			writeJSON(w, http.StatusForbidden, map[string]string{
				"code":    "permission_denied",
				"message": "this host name is not served here: call the admin listener by its address or as localhost",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed reports whether a request for host may be answered on a connection
// to local, which may be nil.
func hostAllowed(host string, local net.Addr, names []string) bool {
	if host == "" {
		return true
	}
	if local != nil && local.Network() == "unix" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(host), "["), "]"), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	for _, n := range names {
		if strings.EqualFold(n, host) {
			return true
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	if ip.IsLoopback() {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.AddrPort().Addr().Unmap() == ip
}

// bounded reads the whole request under the listener's time-out, then lifts that
// of the answer: a stream or an update may take as long as it needs, but no
// single write longer than chunkTimeout.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A writer that has no deadlines, as in a test, has none to lift.
		rc := http.NewResponseController(w)
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			status, code := http.StatusBadRequest, "invalid_argument"
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				status, code = http.StatusRequestEntityTooLarge, "resource_exhausted"
			}
			writeJSON(w, status, map[string]string{"code": code, "message": "read request: " + err.Error()})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rc.SetWriteDeadline(time.Time{})
		defer func() { rc.SetWriteDeadline(time.Now().Add(writeTimeout)) }()
		next.ServeHTTP(&chunkWriter{ResponseWriter: w, rc: rc, timeout: s.chunkTimeout}, r)
	})
}

// chunkWriter gives each write its own deadline. It is used by one goroutine at
// a time, like the writer within.
type chunkWriter struct {
	http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	w.rc.SetWriteDeadline(time.Now().Add(w.timeout))
	defer w.rc.SetWriteDeadline(time.Time{})
	return w.ResponseWriter.Write(p)
}

// FlushError sends what is buffered.
func (w *chunkWriter) FlushError() error {
	w.rc.SetWriteDeadline(time.Now().Add(w.timeout))
	defer w.rc.SetWriteDeadline(time.Time{})
	return w.rc.Flush()
}

// Flush is FlushError for those who ask for an [http.Flusher].
func (w *chunkWriter) Flush() { w.FlushError() }

// Unwrap serves [http.ResponseController].
func (w *chunkWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
