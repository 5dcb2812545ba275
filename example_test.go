package theseus_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/theseus-run/theseus"
	"github.com/theseus-run/theseus/app"
)

// A Go program serves a folder of handlers, and an edit goes live in it.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	hello := filepath.Join(dir, "handlers", "hello.js")
	os.Mkdir(filepath.Dir(hello), 0o755)
	os.WriteFile(hello, []byte(`export default (req) => "hello from generation " + req.generation`), 0o644)

	ctx := context.Background()
	a, err := theseus.Open(ctx, dir, theseus.Options{NoWatch: true})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close(ctx)
	server := httptest.NewServer(a)
	defer server.Close()
	get := func() {
		resp, err := server.Client().Get(server.URL + "/hello")
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		fmt.Println(string(text))
	}

	get()
	os.WriteFile(hello, []byte(`export default (req) => "bonjour from generation " + req.generation`), 0o644)
	a.Reload(ctx, app.Change{Trigger: "api"})
	get()
	// Output:
	// hello from generation 1
	// bonjour from generation 2
}

// A program that replaces itself on SIGUSR2.
func ExampleListenAndServe() {
	srv := &http.Server{Handler: http.DefaultServeMux}
	if err := theseus.ListenAndServe(context.Background(), ":8080", srv); err != nil {
		log.Fatal(err)
	}
}
