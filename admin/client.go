package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/theseus-run/theseus/admin/v1/adminv1connect"
)

// Target says where an admin listener is.
type Target struct {
	// URL of the listener, such as "http://127.0.0.1:8081".
	URL string
	// Socket is the path of a Unix socket; it is taken before URL.
	Socket string
	// Token of the server. It may be empty for a socket that only its owner may
	// open.
	Token string
}

// A Client calls an admin listener. It is safe for concurrent use.
type Client struct {
	adminv1connect.AdminServiceClient
	transport *http.Transport
}

// Close closes the idle connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Dial returns a client for a target. It connects with the first call. The
// token goes to the target alone: proxies and redirects are not followed.
func Dial(t Target, opts ...connect.ClientOption) (*Client, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        4,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: 5 * time.Second,
	}
	var base string
	switch {
	case t.Socket != "":
		base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", t.Socket)
		}
	case t.URL == "":
		return nil, errors.New("dial admin: neither an address nor a socket is given")
	default:
		u, err := url.Parse(t.URL)
		if err != nil {
			return nil, fmt.Errorf("dial admin: %w", err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("dial admin: %q is not an address such as http://127.0.0.1:8081", t.URL)
		}
		base = u.Scheme + "://" + u.Host + u.Path
	}
	doer := &bearer{token: t.Token, client: http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return &Client{AdminServiceClient: adminv1connect.NewAdminServiceClient(doer, base, opts...), transport: transport}, nil
}

// bearer sends each request with the token.
type bearer struct {
	client http.Client
	token  string
}

// Do sends r, which connect made for this call alone.
func (b *bearer) Do(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.client.Do(r)
}
