package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/js"
)

// bench runs single units of the shop with a host of its own.
type bench struct {
	t       *testing.T
	units   map[string]script.Unit
	kv      *kv.Store
	config  script.Value
	emitted []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	files := examples.Shop()
	b := &bench{t: t, units: map[string]script.Unit{}, kv: kv.New(kv.Options{})}
	config := map[string]any{}
	for _, name := range []string{"shop", "catalogue"} {
		src, err := fs.ReadFile(files, "config/"+name+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if config[name], err = yamldoc.DecodeAny("config/"+name+".yaml", src); err != nil {
			t.Fatal(err)
		}
	}
	b.config = script.Of(config)
	engine := js.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".js" || strings.HasPrefix(name, "public/") {
			return err
		}
		src, err := fs.ReadFile(files, name)
		if err != nil || !bytes.Contains(src, []byte("\nexport default")) && !bytes.HasPrefix(src, []byte("export default")) {
			return err // a library: compiled with those who import it
		}
		u, err := engine.Compile(t.Context(), files, name, script.DefaultLimits)
		if err != nil {
			t.Errorf("compile %s: %v", name, err)
			return nil
		}
		t.Cleanup(u.Close)
		b.units[name] = u
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return b
}

// Call implements script.Host.
func (b *bench) Call(_ context.Context, capability string, args []script.Value) (script.Value, error) {
	key := func() string { return args[0].Tree().(string) }
	text := func(i int) []byte {
		out, err := args[i].Text()
		if err != nil {
			b.t.Errorf("%s: %v", capability, err)
		}
		return out
	}
	switch capability {
	case "config.get":
		return b.config, nil
	case "config.version":
		return script.Of("1"), nil
	case "now":
		return script.Of(1e12), nil
	case "emit":
		b.emitted = append(b.emitted, key())
		return script.Value{}, nil
	case "kv.get":
		v, _ := b.kv.Get(key())
		return script.JSON(v), nil
	case "kv.set":
		return script.Value{}, b.kv.Set(key(), text(1), 0)
	case "kv.delete":
		return script.Of(b.kv.Delete(key())), nil
	case "kv.incr":
		n, err := b.kv.Incr(key(), 1)
		return script.Of(n), err
	case "kv.cas":
		ok, err := b.kv.CAS(key(), text(1), text(2))
		return script.Of(ok), err
	}
	return script.Value{}, fmt.Errorf("%s is not for this test", capability)
}

// call runs the default export of a unit and returns its result as JSON.
func (b *bench) call(unit, arg string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	v, err := b.units[unit].Execute(ctx, script.Call{Args: []script.Value{script.JSON([]byte(arg))}, Host: b})
	if err != nil {
		b.t.Fatalf("%s(%s): %v", unit, arg, err)
	}
	out, err := v.Text()
	if err != nil {
		b.t.Fatalf("%s(%s): %v", unit, arg, err)
	}
	return string(out)
}

func (b *bench) stock(id string) string {
	v, _ := b.kv.Get("stock:" + id)
	return string(v)
}

// The steps of an order, by themselves: what is reserved once is sold or
// brought back once, whichever step is tried again.
func TestOrderSteps(t *testing.T) {
	b := newBench(t)
	const lib = "handlers/lib/"
	if got := b.call(lib+"open.js", `{}`); got != `{"id":1}` {
		t.Errorf("open = %s", got)
	}
	quote := b.call(lib+"quote.js", `{"items":[{"sku":"apple","qty":10},{"sku":"sail"}]}`)
	if !strings.Contains(quote, `"total":410`) {
		t.Errorf("quote = %s, want a total of 410", quote)
	}
	lines := `[{"id":"apple","qty":10},{"id":"sail","qty":1}]`
	for range 2 {
		b.call(lib+"reserve.js", `{"order":1,"lines":`+lines+`}`)
		if b.stock("apple") != "4990" || b.stock("sail") != "1999" {
			t.Errorf("stock after reserving: apple %s, sail %s", b.stock("apple"), b.stock("sail"))
		}
	}
	for range 2 {
		b.call(lib+"release.js", `{"order":1}`)
		if b.stock("apple") != "5000" || b.stock("sail") != "2000" {
			t.Errorf("stock after releasing: apple %s, sail %s", b.stock("apple"), b.stock("sail"))
		}
	}
	b.call(lib+"reserve.js", `{"order":2,"lines":`+lines+`}`)
	b.call(lib+"confirm.js", `{"order":2,"lines":`+lines+`,"total":410,"payment":"pay-2"}`)
	b.call(lib+"release.js", `{"order":2}`)
	if b.stock("apple") != "4990" {
		t.Errorf("a confirmed order was released: apple %s", b.stock("apple"))
	}
	b.call(lib+"announce.js", `{"order":2,"lines":`+lines+`,"total":410}`)
	if len(b.emitted) != 1 || b.emitted[0] != "orders" {
		t.Errorf("emitted %q, want orders", b.emitted)
	}
}

// An order that the store cannot fill takes nothing.
func TestReserveIsAllOrNothing(t *testing.T) {
	b := newBench(t)
	got := b.call("handlers/lib/reserve.js", `{"order":1,"lines":[{"id":"apple","qty":10},{"id":"sail","qty":2001}]}`)
	if !strings.Contains(got, `"status":409`) {
		t.Errorf("reserve = %s, want 409", got)
	}
	if b.stock("apple") != "5000" || len(b.kv.Keys("reserved:")) != 0 {
		t.Errorf("apple %s, notes %q: something was taken", b.stock("apple"), b.kv.Keys("reserved:"))
	}
	for arg, want := range map[string]string{`{"amount":20001}`: "402", `{"card":"declined"}`: "402"} {
		if got := b.call("handlers/lib/charge.js", arg); !strings.Contains(got, want) {
			t.Errorf("charge(%s) = %s, want %s", arg, got, want)
		}
	}
}

func TestRestock(t *testing.T) {
	b := newBench(t)
	for id, n := range map[string]string{"apple": "7", "rope": "2500", "sail": "999"} {
		if err := b.kv.Set("stock:"+id, []byte(n), 0); err != nil {
			t.Fatal(err)
		}
	}
	got := b.call("jobs/restock.js", `{"number":3}`)
	if want := `{"tick":3,"added":{"apple":4993,"sail":1001}}`; got != want {
		t.Errorf("restock = %s, want %s", got, want)
	}
	if b.stock("apple") != "5000" || b.stock("rope") != "2500" || len(b.emitted) != 2 {
		t.Errorf("apple %s, rope %s, %d events", b.stock("apple"), b.stock("rope"), len(b.emitted))
	}
}

func TestManifestAndTests(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for _, tmpl := range examples.Templates() {
		src, err := fs.ReadFile(tmpl.Files, "theseus.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(src), "# yaml-language-server: $schema=.theseus/schema/app.json\n") {
			t.Errorf("%s/theseus.yaml does not begin with its schema", tmpl.Name)
		}
		if _, err := manifest.Parse("theseus.yaml", src, none); err != nil {
			t.Errorf("%s: %v", tmpl.Name, err)
		}
		names, err := fs.Glob(tmpl.Files, "tests/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, name := range names {
			src, err := fs.ReadFile(tmpl.Files, name)
			if err != nil {
				t.Fatal(err)
			}
			file, err := manifest.ParseTests(name, src)
			if err != nil {
				t.Errorf("%s: %v", tmpl.Name, err)
			}
			count += len(file)
		}
		if want := map[string]int{"shop": 12, "hello": 1}[tmpl.Name]; count < want {
			t.Errorf("%s has %d tests, want at least %d", tmpl.Name, count, want)
		}
	}
}
