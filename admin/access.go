package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// access decides who may call. The zero value lets nobody in.
type access struct {
	sum    [sha256.Size]byte // of the token: lengths don't show in the comparison
	usable bool              // whether there is a token at all
	errors *connect.ErrorWriter
}

func newAccess(token string) access {
	return access{sum: sha256.Sum256([]byte(token)), usable: token != "", errors: connect.NewErrorWriter()}
}

// require lets only callers with the token through to next, and those on a Unix
// socket that only its owner may open.
func (a access) require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ownerConn(r.Context()) {
			next.ServeHTTP(w, r)
			return
		}
		if err := a.check(r.Header); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="theseus"`)
			a.refuse(w, r, connect.NewError(connect.CodeUnauthenticated, err), http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// check returns why the header doesn't show the token, or nil. It takes the same
// time for every wrong token.
func (a access) check(h http.Header) error {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return errors.New("a token is needed: send \"Authorization: Bearer TOKEN\" with the token of .theseus/admin.json")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return errors.New("one Authorization header with a Bearer token is needed")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], a.sum[:]) != 1 || !a.usable {
		return errors.New("the token is not that of this process: it changes with every start, read .theseus/admin.json again")
	}
	return nil
}

// refuse answers in the protocol of the request, or as JSON of the same form.
func (a access) refuse(w http.ResponseWriter, r *http.Request, err *connect.Error, status int) {
	if a.errors.IsSupported(r) {
		if a.errors.Write(w, r, err) == nil {
			return
		}
	}
	writeJSON(w, status, map[string]string{"code": err.Code().String(), "message": err.Message()})
}

// writeJSON answers with v. What can't be written is lost with the connection.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal","message":"the answer can't be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
