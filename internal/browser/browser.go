// Package browser drives a page in headless Chromium, for tests. Begin with
// [New]. Every method fails the test when it can't do its work in time; a [Page]
// belongs to the goroutine of its test.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show what is waited for.
const patience = 20 * time.Second

// A Page is the only tab of a browser of its own.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu     sync.Mutex
	errors []string // guarded by mu: the browser's goroutine adds to it
}

// New starts a browser with an empty profile and closes it when the test ends.
// Without Chromium the test is skipped, or fails where CI=true is set.
func New(t testing.TB) *Page {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, _ = exec.LookPath(name); path != "" {
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium found: install the package chromium")
		}
		t.Skip("no Chromium found: install the package chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, free := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(free)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() { chromedp.Cancel(ctx); cancel() }) // what can't be closed is killed by free

	p := &Page{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	p.Resize(1280, 900)
	return p
}

// listen collects what a clean page has none of.
func (p *Page) listen(ev any) {
	var text string
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			text = fmt.Sprintf("console.%s", e.Type)
			for _, a := range e.Args {
				text += fmt.Sprintf(" %s%s", a.Value, a.Description)
			}
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description // with its stack
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventLoadingFailed:
		if !e.Canceled {
			text = "request failed: " + e.ErrorText
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if text != "" && len(p.errors) < 20 && !slices.Contains(p.errors, text) {
		p.errors = append(p.errors, text)
	}
}

// ConsoleErrors returns the errors and warnings of the console, uncaught
// exceptions, violations of policies and failed requests since the last call.
func (p *Page) ConsoleErrors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.errors)
	p.errors = nil
	return out
}

// do carries out an action.
func do[T any](p *Page, what string, a chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		p.t.Fatalf("%s: %v\nconsole: %q", what, err, p.ConsoleErrors())
	}
	return v
}

// Goto loads a page and waits until it is loaded.
func (p *Page) Goto(url string) { p.t.Helper(); do(p, "go to "+url, chromedp.Navigate(url)) }

// Click clicks in the middle of the first element a CSS selector finds, once it is visible.
func (p *Page) Click(selector string) {
	p.t.Helper()
	do(p, "click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Press types keys into what has the focus; see the package kb for special ones.
func (p *Page) Press(keys string) { p.t.Helper(); do(p, "press "+keys, chromedp.KeyEvent(keys)) }

// Resize sets the size of the viewport in CSS pixels.
func (p *Page) Resize(width, height int64) {
	p.t.Helper()
	do(p, "resize", chromedp.EmulateViewport(width, height))
}

// Media sets a media feature, such as prefers-color-scheme to dark.
func (p *Page) Media(feature, value string) {
	p.t.Helper()
	do(p, "media", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
		return err
	}))
}

// Screenshot writes the viewport as a PNG file.
func (p *Page) Screenshot(file string) {
	p.t.Helper()
	if err := os.WriteFile(file, do(p, "screenshot", chromedp.CaptureScreenshot()), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Eval returns the value of a JavaScript expression, a promise's once it is fulfilled.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return do(p, expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Wait waits until a JavaScript expression is true.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !Eval[bool](p, "Boolean("+expression+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not true within %v: %s\nconsole: %q\npage: %s", patience, expression, p.ConsoleErrors(), Eval[string](p, "document.body.innerText"))
		}
	}
}

// WaitText waits until an element that a CSS selector finds shows a text as a part of its own.
func (p *Page) WaitText(selector, text string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some((e) => e.checkVisibility() && e.innerText.includes(%s))", strconv.Quote(selector), strconv.Quote(text)))
}
