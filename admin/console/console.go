// Package console is the web page of the admin listener: what is live, what the
// disk says, traffic by generation, generations with their changes, the process
// and how it is replaced, jobs, runs and events, and rollback. [Handler] serves it.
//
// The page is written on the web platform itself, in files that a browser takes
// as they are: nothing is built, generated or fetched from elsewhere, and all of
// it together stays under 60 KB.
//
// Its design, for those who change it:
//
//   - A generation has one colour on the whole page: in the chart, in its flag,
//     its row and its badges. Red means that something is broken, nothing else.
//   - The page asks the admin API for what is true; events only tell when to ask
//     again, and carry the traffic of each second. A lost event costs two seconds
//     at most. What an upgrade of the process has done so far is known from events
//     alone; the stream ends with the old process, and is taken up with the new one.
//   - Text of the server becomes text nodes (h and s in dom.js); no function
//     here takes markup. The policy of [Handler] forbids inline scripts and
//     styles besides.
//   - An element theseus-x is the exported class X of the module that main.js
//     imports; h("tag.class", attributes, ...content) makes all others.
//   - Lists keep their elements from one update to the next (keyed in dom.js), so
//     that focus, selections and what is unfolded stay.
//   - No state is told by colour alone, everything works by keyboard, and what
//     matters is announced in one polite live region; the log itself is quiet.
//     There are no animations.
//   - The token comes in the fragment of the address, #t=TOKEN, which browsers
//     send to nobody. It moves to the session storage of the tab.
//
// The address of the page may be below a path of a proxy: all addresses in it
// are relative.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

// policy lets the page load what its own origin serves, and nothing else.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types are the media types of the embedded files; the system's table is not asked.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is an embedded file, ready to be sent.
type file struct {
	body []byte
	kind string // media type
	etag string // quoted
}

// Handler serves the page at / and its files below /assets/. Browsers ask each
// time whether a file has changed, and get 304 if not. Other paths are 404. The
// handler has no state and is safe for concurrent use.
func Handler() http.Handler {
	files, err := load(static)
	if err != nil {
		panic(err) // the embedded files are part of the program
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		f, ok := files[r.URL.Path]
		if !ok {
			http.Error(w, "not found: the console is at /", http.StatusNotFound)
			return
		}
		h.Set("Content-Type", f.kind)
		h.Set("ETag", f.etag)
		h.Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
	})
}

// load reads the files below static, by the path they are served at.
func load(from fs.FS) (map[string]file, error) {
	files := make(map[string]file)
	err := fs.WalkDir(from, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		kind := types[path.Ext(name)]
		if kind == "" {
			return fmt.Errorf("load console: %s has no media type", name)
		}
		sum := sha256.Sum256(body)
		at := strings.TrimPrefix(name, "static")
		if at == "/index.html" {
			at = "/"
		}
		files[at] = file{body: body, kind: kind, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	return files, err
}
