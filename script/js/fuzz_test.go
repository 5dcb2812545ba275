package js

import (
	"context"
	"testing"
	"time"

	"github.com/theseus-run/theseus/script"
)

// FuzzCompile feeds source text to the whole path: whatever it is, the result
// is a unit or an *Error, in bounded time, and no machine is left.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"export default () => 1", "export default async (req) => { await sleep(1) }", "import './x.js'", "import x from './a.js'; export default x",
		"export default class {}", "export default () => { for(;;); }", "for(;;);", "const f = () => f(); f()", "\ufeffexport default () => /(?<a>x)\\k<a>/u",
		"export default () => `${`${1}`}`", "[[[[[[[[", "export { x as default }; function x() {}", "let a = [1]; while (1) a = [...a, ...a]",
		"export default () => { throw { get message() { throw 1 } } }", "throw null", "await new Promise(() => {})", "\xff\xfe", "export default\u2028() => 1",
	} {
		f.Add(seed)
	}
	e := New()
	f.Fuzz(func(t *testing.T, source string) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		u, err := e.Compile(ctx, tree(map[string]string{"a.js": source, "x.js": "export const x = 1"}), "a.js", script.Limits{Time: 100 * time.Millisecond, Memory: 8 << 20})
		if err != nil {
			if _, ok := err.(*script.Error); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		defer u.Close()
		v, err := u.Execute(ctx, script.Call{Args: []script.Value{script.RequestValue(testRequest())}})
		if err != nil {
			if _, ok := err.(*script.Error); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		text, err := v.Text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := script.Parse(text); err != nil {
			t.Fatalf("result %q: %v", text, err)
		}
	})
}
