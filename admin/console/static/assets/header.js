// The top of the page, and the numbers.

import { now } from "./api.js";
import { openDiff } from "./dialogs.js";
import { View, announce, attr, gen, h, keyed, s, text } from "./dom.js";
import { bytes, count, span, time, took } from "./format.js";

export class Header extends View {
	topics = ["status", "connection", "tick"];

	build() {
		this.app = h("h1", "Theseus");
		this.chip = h("span.chip", "…");
		this.why = h("button.why", { hidden: true, onclick: () => openDiff(this.store.status.live.number) });
		this.conn = h("button.conn", { title: "Connect now", onclick: () => this.store.start() });
		this.about = h("span.about");
		this.append(h("header.top", h("img", { src: "assets/icon.svg", alt: "", width: 26, height: 26 }), this.app, this.chip, this.why,
			h("div.meta", this.about, this.conn, h("button.icon", { id: "theme", title: "Theme (t)" }),
				h("button.icon", { id: "help", title: "Keys (?)", "aria-label": "Help" }, "?"))));
	}

	draw() {
		const { kind, until } = this.store.connection;
		attr(this.conn, "data-kind", kind);
		text(this.conn, { live: "live", connecting: "connecting…", denied: "token needed", waiting: `reconnecting in ${Math.max(0, Math.ceil((until - Date.now()) / 1e3))} s` }[kind]);
		const st = this.store.status;
		if (!st) return;
		const number = st.live?.number ?? 0, app = st.app || "theseus";
		const [state, words] = !st.ready ? ["down", "not ready"] : st.drift ? ["drift", "disk ≠ live"] : ["sync", "live · disk in sync"];
		const busy = ["idle", "active", undefined].includes(st.state) ? "" : ` ${st.state}…`;
		text(this.app, app);
		if (this.chip.textContent !== `gen ${number}${words}${busy}`) {
			this.chip.replaceChildren(gen(number), h("span", words), busy);
			attr(this.chip, "data-state", state);
			announce(`generation ${number}: ${words}`);
		}
		this.why.hidden = !st.drift;
		text(this.why, st.driftReason || "changed on disk");
		text(this.about, [st.version && `theseus ${st.version}`, `up ${span((now() - time(st.started)) / 1e3)}`].filter(Boolean).join(" · "));
		document.title = `${state === "sync" ? "" : "▲ "}${app} · gen ${number}`;
	}
}

// Name, value and remark of (status, last sample), and what of a sample the line shows.
const tiles = [
	["Requests", (st) => count(st.requests), (st, x) => `${count(x.requests)}/s`, "requests"],
	["Failed", (st) => count(st.failed), (st, x) => `${count(x.failed)}/s`, "failed"],
	["p95", (st, x) => took(x.p95 / 1e3), () => "now", "p95"],
	["In flight", (st, x) => count(x.inflight), () => "requests", "inflight"],
	["Streams", (st, x) => count(x.streams), () => "open", "streams"],
	["Runs", (st) => count(st.runs), () => "in progress"],
	["Heap", (st, x) => bytes(x.heap_bytes ?? 0), () => "", "heap_bytes"],
	["Goroutines", (st, x) => count(x.goroutines), () => "", "goroutines"],
];

export class Numbers extends View {
	topics = ["status", "stats"];

	build() {
		this.append(this.list = h("dl.tiles"));
	}

	draw() {
		const st = this.store.status ?? {}, samples = this.store.samples.slice(-60), last = samples.at(-1) ?? {};
		keyed(this.list, tiles, ([name]) => name,
			([name]) => h("div", h("dt", name), h("dd", h("b"), h("small")), s("svg.spark", { "aria-hidden": true, viewBox: "0 0 60 20", preserveAspectRatio: "none" }, s("path", { "vector-effect": "non-scaling-stroke" }))),
			(el, [name, value, remark, key]) => {
				text(el.querySelector("b"), value(st, last));
				text(el.querySelector("small"), remark(st, last));
				const values = key ? samples.map((x) => x[key] ?? 0) : [], max = Math.max(...values, 1e-9);
				attr(el, "data-bad", name === "Failed" && values.some(Boolean)); // lately
				attr(el.querySelector("path"), "d", values.map((v, i) => `${i ? "L" : "M"}${60.5 - values.length + i} ${(19 - (18 * v) / max).toFixed(1)}`).join("") || null);
			});
	}
}
