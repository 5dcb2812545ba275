package app

import (
	"bytes"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/tree"
)

// static serves the files of a folder of the app as they are in this
// generation. The part of the path that the pattern's prefix matches is cut
// off: "GET /assets/" with "public/" serves public/x at /assets/x.
func (g *Generation) static(folder, pattern string) endpoint {
	prefix := pattern
	if i := strings.IndexByte(prefix, ' '); i >= 0 {
		prefix = strings.TrimSpace(prefix[i+1:])
	}
	if i := strings.IndexByte(prefix, '/'); i > 0 {
		prefix = prefix[i:] // a host before the path
	}
	if i := strings.IndexByte(prefix, '{'); i >= 0 {
		prefix = prefix[:i]
	}
	return func(x *exchange) error {
		if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
			x.w.Header().Set("Allow", "GET, HEAD")
			return &httpError{status: http.StatusMethodNotAllowed, message: "only GET and HEAD are allowed here"}
		}
		rest := strings.TrimPrefix(x.r.URL.Path, prefix)
		name := path.Join(strings.TrimSuffix(folder, "/"), path.Clean("/"+rest))
		f, ok := g.tree.File(name)
		if !ok {
			f, ok = g.tree.File(path.Join(name, "index.html"))
			if ok && rest != "" && !strings.HasSuffix(x.r.URL.Path, "/") {
				http.Redirect(x.w, x.r, path.Base(x.r.URL.Path)+"/", http.StatusMovedPermanently)
				return nil
			}
		}
		if !ok {
			return &httpError{status: http.StatusNotFound, message: "not found"}
		}
		x.sendFile(f)
		return nil
	}
}

// sendFile answers with a file: conditional and range requests by its digest.
func (x *exchange) sendFile(f *tree.File) {
	h := x.w.Header()
	h["Etag"] = []string{`"` + f.Digest[:32] + `"`}
	setDefault(h, "Cache-Control", "no-cache")
	setDefault(h, "X-Content-Type-Options", "nosniff")
	http.ServeContent(x.w, x.r, f.Path, time.Time{}, bytes.NewReader(f.Data))
}
