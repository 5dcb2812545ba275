// Package examples holds the app directories that come with the program: what
// `theseus new` copies and `theseus demo` runs. Start with [Templates]. The
// returned file systems are read-only and safe for concurrent use.
package examples

import (
	"embed"
	"io/fs"
)

// The patterns name each part, because all:shop would also take the .theseus
// folder that running the example in place leaves behind.
//
//go:embed shop/.gitignore shop/README.md shop/theseus.yaml shop/config shop/handlers shop/jobs
//go:embed shop/middleware shop/public shop/tests shop/workflows
//go:embed hello/.gitignore hello/theseus.yaml hello/handlers hello/tests
var files embed.FS

// A Template is an app directory to begin with.
type Template struct {
	Name  string // as in `theseus new NAME`
	About string // one line, lower case, without full stop
	Files fs.FS  // the app directory itself is the root
}

// Templates lists the templates, the smallest first.
func Templates() []Template {
	return []Template{
		{Name: "hello", About: "one handler, one route, its test", Files: Hello()},
		{Name: "shop", About: "a shop: products, carts, orders, jobs, a live feed and a storefront", Files: Shop()},
	}
}

// Find returns the template of that name.
func Find(name string) (Template, bool) {
	for _, t := range Templates() {
		if t.Name == name {
			return t, true
		}
	}
	return Template{}, false
}

// Shop returns examples/shop.
func Shop() fs.FS { return sub("shop") }

// Hello returns examples/hello, the smallest app with a manifest and a test.
func Hello() fs.FS { return sub("hello") }

// sub returns the named folder of files. The name is one of the folders above,
// so that fs.Sub, which refuses only malformed names, cannot fail.
func sub(name string) fs.FS {
	dir, err := fs.Sub(files, name)
	if err != nil {
		panic(err)
	}
	return dir
}
