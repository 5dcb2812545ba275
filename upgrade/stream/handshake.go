package stream

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// acceptGUID is fixed by RFC 6455, section 1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// refusal is why a handshake fails.
type refusal struct {
	status int
	text   string
}

// respond answers the request with the refusal.
func (f *refusal) respond(w http.ResponseWriter) {
	h := w.Header()
	switch f.status {
	case http.StatusUpgradeRequired:
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		h.Set("Sec-WebSocket-Version", "13")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	}
	http.Error(w, f.text, f.status)
}

// checkHandshake applies RFC 6455, section 4.2.1; nil means that r is good.
func checkHandshake(r *http.Request) *refusal {
	switch {
	case r.ProtoMajor >= 2:
		return &refusal{http.StatusNotImplemented, "WebSocket is served over HTTP/1.1 only"}
	case r.Method != http.MethodGet:
		return &refusal{http.StatusMethodNotAllowed, "WebSocket handshake must be a GET request"}
	case !r.ProtoAtLeast(1, 1), !hasToken(r.Header, "Upgrade", "websocket"), !hasToken(r.Header, "Connection", "upgrade"):
		return &refusal{http.StatusUpgradeRequired, "this resource is a WebSocket"}
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return &refusal{http.StatusUpgradeRequired, "WebSocket version must be 13"}
	case r.ContentLength != 0:
		return &refusal{http.StatusBadRequest, "WebSocket handshake must not have a body"}
	case !goodKey(r.Header.Values("Sec-Websocket-Key")):
		return &refusal{http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64, once"}
	}
	return nil
}

func goodKey(keys []string) bool {
	if len(keys) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(keys[0])
	return err == nil && len(key) == 16
}

// hasToken reports whether a comma-separated header contains token.
func hasToken(h http.Header, name, token string) bool {
	for t := range tokens(h, name) {
		if strings.EqualFold(t, token) {
			return true
		}
	}
	return false
}

// tokens yields the elements of a comma-separated header.
func tokens(h http.Header, name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range h.Values(name) {
			for t := range strings.SplitSeq(line, ",") {
				if t = strings.TrimSpace(t); t != "" && !yield(t) {
					return
				}
			}
		}
	}
}

// checkOrigin lets through what is no browser (no Origin), pages of the same
// host, and origins that match a pattern; see SocketOptions.Origins.
func checkOrigin(r *http.Request, patterns []string) *refusal {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	for _, p := range patterns {
		if p == "*" || (err == nil && u.Host != "" && originMatches(p, u)) {
			return nil
		}
	}
	return &refusal{http.StatusForbidden, "this origin may not connect"}
}

func originMatches(pattern string, u *url.URL) bool {
	target := u.Host
	if strings.Contains(pattern, "://") {
		target = u.Scheme + "://" + u.Host
	}
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(target))
	return err == nil && ok
}

// chooseProtocol is the first of ours that the client offers, or empty.
func chooseProtocol(r *http.Request, ours []string) string {
	for _, p := range ours {
		for t := range tokens(r.Header, "Sec-Websocket-Protocol") {
			if t == p {
				return p
			}
		}
	}
	return ""
}

// socketHead is the answer to a good handshake (RFC 6455, section 4.2.2).
func socketHead(h http.Header, key, protocol string) []byte {
	h = h.Clone()
	for _, name := range []string{"Content-Length", "Content-Type", "Transfer-Encoding", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"} {
		h.Del(name)
	}
	sum := sha1.Sum([]byte(key + acceptGUID))
	h.Set("Upgrade", "websocket")
	h.Set("Connection", "Upgrade")
	h.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	if protocol != "" {
		h.Set("Sec-WebSocket-Protocol", protocol)
	}
	return responseHead("HTTP/1.1 101 Switching Protocols", h)
}
