package console_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/browser"
)

// openPage shows the page of f, connected.
func openPage(t *testing.T, f *fakeApp) (*server, *browser.Page) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser for some seconds")
	}
	s := serve(t, f)
	p := browser.New(t)
	p.Goto(s.url)
	p.WaitText(".conn[data-kind=live]", "live")
	p.WaitText(".generations", "compiled")
	return s, p
}

// clean fails the test for errors in the console and failed requests.
func clean(t *testing.T, p *browser.Page) {
	t.Helper()
	if e := p.ConsoleErrors(); len(e) > 0 {
		t.Errorf("console: %q", e)
	}
}

func TestPageLoads(t *testing.T) {
	_, p := openPage(t, story())
	p.WaitText(".chip", "gen 12")
	p.WaitText(".chip", "live · disk in sync")
	p.WaitText("theseus-header", "theseus 0.1.0 · up 3 h 12 m")
	p.WaitText(".tiles", "1.28M")
	p.WaitText(".generations", "discount of ten percent")
	p.WaitText(".jobs", "Europe/Berlin")
	p.WaitText(".runs", "charge")
	p.WaitText(".log", "pay service answered after 1.9 s")
	p.WaitText("theseus-process", "pid 4711 · process generation 3")
	p.WaitText("theseus-process .verdict", "rolled back: it ended 640ms after it began to serve")
	p.WaitText("theseus-process .facts", "check 0 ms")
	p.WaitText("theseus-process .facts", "serve 252 ms")
	p.WaitText("theseus-process .facts", "draining for 1 h")
	p.Wait(`document.querySelectorAll(".chart .area").length === 3`)
	p.Wait(`[...document.querySelectorAll(".chart .flag text")].map((e) => e.textContent).join() === "12,11"`)
	p.Wait(`document.querySelectorAll(".chart rect.bad").length === 3`)
	p.Wait(`document.querySelectorAll(".dag .node").length === 6 && document.querySelectorAll(".dag .edge").length === 6`)
	p.Wait(`document.title === "shop · gen 12"`)
	if got := browser.Eval[string](p, "location.href + document.cookie"); strings.Contains(got, token) {
		t.Errorf("the token stays in the address: %s", got)
	}
	if got := browser.Eval[string](p, `sessionStorage.getItem("theseus.token")`); got != token {
		t.Errorf("the session has the token %q, want %q", got, token)
	}
	clean(t, p)
}

func TestUpdatesArrive(t *testing.T) {
	f := story()
	_, p := openPage(t, f)
	f.update(app.Update{Trigger: "watch", Message: "thirteen", Outcome: app.OutcomeLive})
	p.WaitText(".chip[data-state=sync]", "gen 13")
	p.WaitText(".generations li:first-child", "thirteen")
	p.WaitText(".log", "gen 13 live")

	f.refuse()
	p.WaitText(".chip[data-state=drift]", "disk ≠ live")
	p.WaitText(".why", "handlers/product.js:4:47")
	p.WaitText(".refused", "handlers/product.js:4:47")
	p.WaitText(".refused .hint", "close the call that begins on line 4")
	if got := browser.Eval[string](p, `document.querySelector(".frame").textContent`); got != frame {
		t.Errorf("the frame is\n%s\nwant\n%s", got, frame)
	}
	p.WaitText(".frame .here", "> 4 |")
	p.Wait(`document.title.startsWith("▲ ")`)
	p.Wait(`document.getElementById("announcer").textContent !== ""`)
	p.WaitText(".chip", "gen 13") // what served serves on

	p.Click(".why")
	p.WaitText("dialog .diff .add", "const qty")
	p.Click("dialog .buttons button")
	p.Wait(`!document.querySelector("dialog")`)

	f.update(app.Update{Trigger: "watch", Message: "mended", Outcome: app.OutcomeLive})
	p.WaitText(".chip[data-state=sync]", "gen 14")
	p.WaitText(".past summary", "Last refused update")
	clean(t, p)
}

func TestGenerationUnfolds(t *testing.T) {
	_, p := openPage(t, story())
	p.Wait(`(document.querySelector(".generations .fold").focus(), true)`)
	p.Press("\r")
	p.WaitText("#g12 h3", "Against generation 11")
	p.WaitText("#g12 .tally", "3 files +3 −3")
	p.WaitText("#g12 .diff .del", "req.query.qty * 10")
	p.WaitText("#g12 table", "GET /price/{id}")
	p.Wait(`document.querySelector(".generations .fold").getAttribute("aria-expanded") === "true"`)
	p.Click(".generations li:nth-child(3) .fold")
	p.WaitText("#g10", "kept on disk for rollback")
	clean(t, p)
}

func TestRollback(t *testing.T) {
	f := story()
	_, p := openPage(t, f)
	p.Press("r")
	p.WaitText("dialog", "Roll back to 11")
	p.WaitText("dialog .tally", "3 files")
	p.Resize(390, 844)
	p.Wait(`innerWidth === 390 && (({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(document.querySelector("dialog"))`)
	p.Resize(1280, 900)
	p.Press("\x1b")
	p.Wait(`!document.querySelector("dialog")`)
	if n := get(f, func(f *fakeApp) int { return len(f.changes) }); n != 0 {
		t.Fatalf("a dialog that was closed rolled back")
	}

	p.Click(`[aria-label="Roll back to generation 9"]`)
	p.WaitText("dialog", "Roll back to 9")
	p.Click("#reason")
	p.Press("prices were wrong")
	p.Click("dialog .primary")
	p.WaitText("dialog .result", "Generation 13 is live")
	p.WaitText(".chip", "gen 13")
	want := []app.Change{{Trigger: "api", Who: "the admin token, from 127.0.0.1", Message: "prices were wrong", Expect: 12}}
	if got := get(f, func(f *fakeApp) []app.Change { return f.changes }); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
	p.WaitText(".generations li:first-child", "back to 9")
	p.Click("dialog .buttons button")
	p.Wait(`!document.querySelector("dialog")`)
	clean(t, p)

	f.set(func(f *fakeApp) { f.conflict = true })
	p.Press("r")
	p.WaitText("dialog", "Roll back to 12")
	p.Click("dialog .primary")
	p.WaitText("dialog [role=alert]", "generation 14 is live")
	p.Wait(`document.querySelector("dialog .primary").disabled`)
}

func TestReconnects(t *testing.T) {
	f := story()
	s, p := openPage(t, f)
	p.WaitText(".log", "gen 12 live")
	f.events.Publish(app.Event{Type: "log", Message: "before the cut"})
	p.WaitText(".log", "before the cut")
	s.drop(true)
	p.WaitText(".conn[data-kind=waiting]", "reconnecting in")
	f.events.Publish(app.Event{Type: "log", Message: "while it was cut"})
	s.drop(false)
	p.WaitText(".conn[data-kind=live]", "live")
	p.WaitText(".log", "while it was cut")
	p.Wait(`[...document.querySelectorAll(".message")].filter((e) => e.textContent.endsWith("before the cut")).length === 1`)
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.seen[len(s.seen)-1]; !strings.Contains(last, "-") || s.seen[0] != "" {
		t.Errorf("Last-Event-ID of the connections: %q, want none and then that of the last event", s.seen)
	}
}

func TestEventsAreHeldAndFiltered(t *testing.T) {
	f := story()
	_, p := openPage(t, f)
	p.WaitText(".log", "workflow order ok")
	f.events.Publish(app.Event{Type: "log", Level: "info", Message: "request", Data: map[string]any{"path": "/quiet", "status": 200}})
	f.events.Publish(app.Event{Type: "log", Level: "info", Message: "request", Data: map[string]any{"path": "/loud", "status": 502}})
	p.WaitText(".log [data-level=warn]", "request path=/loud status=502")
	p.Press("p")
	p.WaitText("theseus-events", "Resume · 0 new")
	f.events.Publish(app.Event{Type: "log", Level: "error", Message: "bad thing"})
	p.WaitText("theseus-events", "Resume · 1 new")
	p.Wait(`!document.querySelector(".log").textContent.includes("bad thing")`)
	p.Press("p")
	p.WaitText(".log", "bad thing")
	p.Wait(`!document.querySelector(".log").textContent.includes("step charge failed") && !document.querySelector(".log").textContent.includes("upgrade: serve done")`)
	level := func(i int) {
		p.Wait(fmt.Sprintf(`(() => { const s = document.querySelector("theseus-events select"); s.value = %d; s.dispatchEvent(new Event("change")); return true; })()`, i))
	}
	level(0)
	p.WaitText(".log", "step charge failed")
	p.WaitText(".log", "upgrade: serve done")
	p.WaitText(".log", "request path=/quiet status=200")
	level(3)
	p.Wait(`document.querySelector(".log").textContent.includes("bad thing") && document.querySelectorAll(".log li").length === 2`)
	clean(t, p)
}

func TestTokenIsAskedFor(t *testing.T) {
	s := serve(t, story())
	p := browser.New(t)
	p.Goto(strings.Replace(s.url, token, "wrong", 1))
	p.WaitText("dialog", "Token")
	p.WaitText("dialog .error", "not that of this process")
	p.Press("\x1b")
	p.WaitText("dialog", "Token") // there is nothing to show without
	p.Click("#token")
	p.Press(token + "\r")
	p.WaitText(".chip", "gen 12")
	p.WaitText(".conn", "live")
	p.Wait(`!document.querySelector("dialog")`)
}

func TestHostileText(t *testing.T) {
	evil := `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>&lt;"'` + "\u202e\u2028\x00 ${pwned} {{x}}"
	f := story()
	f.status.App, f.status.Version = evil, evil
	for i := range f.gens {
		f.gens[i].Message, f.gens[i].Trigger, f.gens[i].Update, f.gens[i].Digest = evil, evil, evil, evil
	}
	f.diff = []app.FileChange{{Path: evil, Op: evil, Diff: "+" + evil + "\n-" + evil}}
	f.units = []app.UnitInfo{{Name: evil, Engine: evil, UsedBy: []string{evil}}}
	f.jobs = []app.JobInfo{{Name: evil, Schedule: evil, Run: evil, Overlap: evil}, {Name: "__proto__"}, {Name: "__proto__"}}
	f.runs = []app.Run{{ID: evil, Kind: evil, Name: evil, Unit: evil, Status: evil, Error: evil, Steps: []app.RunStep{
		{Name: evil, Status: evil, Error: evil, Needs: []string{evil, "b", "none"}}, {Name: "b", Needs: []string{evil}, Status: "ok"}, {Name: "__proto__", Needs: []string{"__proto__"}}}}}
	_, p := openPage(t, f)
	f.events.Publish(app.Event{Type: evil, Level: evil, Message: evil})
	f.events.Publish(app.Event{Type: "stats", Data: evil})
	f.events.Publish(app.Event{Type: "update", Data: []string{evil}})
	f.events.Publish(app.Event{Type: "upgrade", Data: evil})
	for _, name := range []string{evil, "constructor", "__proto__", "step", "failed"} {
		f.events.Publish(app.Event{Type: "upgrade", Message: evil, Data: map[string]any{"name": name, "step": evil, "pid": evil, "peer": evil, "took_ns": evil}})
	}
	f.events.Publish(app.Event{Type: "log", Level: "warn", Message: evil})
	p.WaitText(".log", "<img src=x onerror=")
	f.update(app.Update{Outcome: app.OutcomeRefused, Problems: []app.Problem{{Kind: evil, Message: evil, Hint: evil, File: evil, Frame: "> 1 | " + evil}}})
	p.WaitText(".refused .frame", "<script>")
	p.WaitText(".why", "<img")
	p.Click(".generations .fold")
	p.WaitText("#g12 .diff", "<img src=x")
	p.WaitText("h1", "<img src=x")
	p.WaitText("theseus-process .verdict", "<img src=x")
	p.WaitText(".jobs", "<img src=x")
	p.WaitText(".runs .error", "<img src=x")
	p.Click(".why")
	p.WaitText("dialog .diff", "<img src=x")
	p.Wait(`window.pwned === undefined && document.images.length === 1 && document.scripts.length === 2`)
	clean(t, p)
}

func TestHelp(t *testing.T) {
	_, p := openPage(t, story())
	p.Press("?")
	p.WaitText("dialog", "roll back")
	p.Click(`dialog input[type=checkbox]`)
	p.Press("\x1b")
	p.Wait(`!document.querySelector("dialog")`)
	p.Press("r")
	p.Click("#help") // still answers, and only it
	p.WaitText("dialog h2", "Keys")
	p.Click("dialog .buttons button")
	p.Wait(`!document.querySelector("dialog")`)

	// What has the focus is seen to have it.
	p.Press("\t")
	p.Wait(`document.activeElement !== document.body && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	clean(t, p)
}

// contrast returns the texts whose colours are closer than 4.5 to 1.
const contrast = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
	const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, f, i) => sum + f * (c[i] / 255 <= 0.04045 ? c[i] / 255 / 12.92 : ((c[i] / 255 + 0.055) / 1.055) ** 2.4), 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
	const out = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest(".unseen, .skip, noscript, script, title")) continue;
		const svg = e instanceof SVGElement, style = getComputedStyle(e);
		const back = e.closest(".flag, .node") ? rgba(getComputedStyle(e.parentElement.querySelector("rect")).fill) : behind(e);
		const [a, b] = [light(rgba(svg ? style.fill : style.color)), light(back)].sort((x, y) => y - x);
		// Flags are bold labels of graphics, 3 to 1.
		if ((a + 0.05) / (b + 0.05) < (e.closest(".flag") ? 3 : 4.5)) out.add(walk.currentNode.data.trim().slice(0, 30) + " " + ((a + 0.05) / (b + 0.05)).toFixed(2) + " " + (e.className.baseVal ?? e.className));
	}
	return [...out];
})()`

func TestThemesAndWidths(t *testing.T) {
	f := story()
	_, p := openPage(t, f)
	f.refuse()
	p.WaitText(".refused", "expected")
	p.Click(".generations .fold")
	p.WaitText("#g12 table", "GET /price")
	shades := map[string]string{}
	for _, theme := range []string{"light", "dark"} {
		p.Media("prefers-color-scheme", theme)
		for _, width := range []int64{1440, 390} {
			p.Resize(width, 1300)
			p.Wait(fmt.Sprintf("innerWidth === %d && document.querySelector('.chart').clientWidth < %d", width, width))
			if over := browser.Eval[int](p, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
				t.Errorf("%s, %d px: the page is %d px too wide", theme, width, over)
			}
			if low := browser.Eval[[]string](p, contrast); len(low) > 0 {
				t.Errorf("%s, %d px: too little contrast: %q", theme, width, low)
			}
			for _, at := range []string{"top", "end"} {
				p.Wait(fmt.Sprintf(`(scrollTo(0, %q === "top" ? 0 : 1e6), true)`, at))
				p.Screenshot(filepath.Join(t.ArtifactDir(), fmt.Sprintf("%s-%d-%s.png", theme, width, at)))
			}
		}
		shades[theme] = browser.Eval[string](p, "getComputedStyle(document.documentElement).backgroundColor")
	}
	if shades["light"] == shades["dark"] {
		t.Errorf("light and dark have the background %s", shades["light"])
	}
	// The choice beats the system's, and is kept.
	p.Press("t")
	p.Wait(fmt.Sprintf("getComputedStyle(document.documentElement).backgroundColor === %q", shades["light"]))
	p.Wait(`localStorage.getItem("theseus.theme") === "light"`)
	p.Goto(browser.Eval[string](p, "location.href"))
	p.WaitText(".chip", "gen 12") // the session has the token still
	p.Wait(fmt.Sprintf("getComputedStyle(document.documentElement).backgroundColor === %q", shades["light"]))
	clean(t, p)
}

func TestEventStreamIsCutAnywhere(t *testing.T) {
	_, p := openPage(t, story())
	got := browser.Eval[string](p, `import("./assets/api.js").then(({ parser }) => {
		const stream = "retry: 1000\r\nid: a-1\r\n\r\n: comment\n\nid: a-2\nevent: log\ndata: one: two\ndata: 2\u2028\n\nevent:x\rdata:y\r\rdata\n\n";
		const seen = new Set();
		for (let cut = 0; cut <= stream.length; cut++) {
			for (let next = cut; next <= stream.length; next++) {
				const out = [], parse = parser((...e) => { if (e[0] || e[2]) out.push(e); });
				for (const part of [stream.slice(0, cut), stream.slice(cut, next), stream.slice(next)]) parse(part);
				seen.add(JSON.stringify(out));
			}
		}
		return [...seen].join("\n");
	})`)
	want := `[["a-1","message",""],["a-2","log","one: two\n2` + "\u2028" + `"],[null,"x","y"]]`
	if got != want {
		t.Errorf("the stream is read as\n%s\nwant\n%s", got, want)
	}
}

func TestGraphLayout(t *testing.T) {
	_, p := openPage(t, story())
	got := browser.Eval[string](p, `import("./assets/dag.js").then(({ dag, layout }) => {
		const step = (name, ...needs) => ({ name, needs, status: "ok" });
		const { nodes, width, height } = layout([step("d", "b", "c"), step("a"), step("b", "a"), step("c", "a"), step("e", "d", "a")]);
		const wide = Array.from({ length: 100 }, (_, i) => step("n" + i, ...(i ? ["n" + Math.floor((i - 1) / 3)] : [])));
		const cycle = [step("x", "y"), step("y", "x"), step("z", "z")];
		return JSON.stringify([nodes.map((n) => n.layer), width, height, dag(wide).querySelectorAll(".node").length, dag(cycle).querySelectorAll(".node").length, dag([...wide, step("more")]).querySelectorAll(".node").length]);
	})`)
	if want := `[[2,0,1,1,3],520,86,100,3,100]`; got != want {
		t.Errorf("layout: %s, want %s", got, want)
	}
	clean(t, p)
}
