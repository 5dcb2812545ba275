// The traffic chart: three lanes over one time axis, with a flag wherever an
// update ended.

import { View, attr, gen, h, hue, panel, s, text } from "./dom.js";
import { clock, count, took } from "./format.js";

const left = 4, right = 46, top = 20, bottom = 322; // of the plot, in px
const lanes = [
	{ name: "requests/s", key: "requests", top, bottom: 174, unit: count },
	{ name: "failed/s", key: "failed", top: 192, bottom: 226, unit: count },
	{ name: "p95", key: "p95", top: 244, bottom, unit: (v) => took(v / 1e3) },
];
const gap = 3500; // ms without a sample that break a line

export class Chart extends View {
	topics = ["stats"];
	window = 180e3; // ms

	build() {
		this.readout = h("p.readout");
		this.svg = s("svg.chart", { role: "img", height: bottom + 18 });
		this.cursor = s("line.cursor", { y1: top, y2: bottom });
		this.range = h("input.scrub", { type: "range", "aria-label": "Second shown above the chart", oninput: () => this.point(this.shown[this.range.valueAsNumber]), onblur: () => this.point() });
		const spans = h("select", { "aria-label": "Time shown", onchange: () => { this.window = spans.value * 60e3; this.redraw(); } },
			[3, 2, 5].map((m) => h("option", { value: m }, `${m} minutes`)));
		this.box = h("div.plot", this.svg, this.range);
		this.append(panel("Traffic", [this.readout, spans], this.box));
		this.svg.addEventListener("pointermove", (e) => {
			const t = this.from + ((e.clientX - this.svg.getBoundingClientRect().left - left) / this.width) * this.window;
			this.point(this.shown.reduce((a, b) => (Math.abs(b.t - t) < Math.abs(a.t - t) ? b : a), this.shown[0]));
		});
		this.svg.addEventListener("pointerleave", () => this.point());
		new ResizeObserver(() => this.redraw()).observe(this.box);
	}

	x(t) { return left + (this.width * (t - this.from)) / this.window; }

	// point selects a sample; none is the newest.
	point(sample) {
		this.at = sample?.t;
		this.drawReadout();
	}

	draw() {
		const W = this.box.clientWidth, to = this.store.samples.at(-1)?.t ?? Date.now();
		this.width = W - left - right;
		this.from = to - this.window;
		this.shown = this.store.samples.filter((p) => p.t >= this.from);
		this.numbers = [...new Set(this.shown.flatMap((p) => p.gens.map((g) => g.number)))].sort((a, b) => a - b);
		attr(this.svg, "width", W);
		this.svg.replaceChildren(...this.axis(to), ...lanes.flatMap((l) => this.lane(l)), ...this.flags(), this.cursor);
		this.range.max = this.shown.length - 1;
		if (!this.at) this.range.value = this.range.max;
		this.drawReadout();
	}

	axis(to) {
		const out = [], step = this.window > 120e3 ? 60e3 : 30e3;
		for (let t = Math.ceil(this.from / step) * step; t <= to; t += step) {
			const x = this.x(t);
			out.push(s("line.grid", { x1: x, x2: x, y1: top, y2: bottom }));
			if (x > 20 && x < this.width - 14) out.push(s("text", { x, y: bottom + 14, "text-anchor": "middle" }, clock(t, step < 60e3)));
		}
		return out;
	}

	lane({ name, key, top, bottom, unit }) {
		const value = (p, n) => p.gens.find((g) => g.number === n)?.[key] ?? 0;
		const peak = Math.max(0, ...this.shown.map((p) => p[key])), max = nice(peak), end = left + this.width;
		const y = (v) => bottom - ((bottom - top) * v) / max;
		const out = [
			s("line.base", { x1: left, x2: end, y1: bottom, y2: bottom }),
			s("text", { x: left + 2, y: top - 4 }, peak ? name : `${name}: none`),
		];
		for (const v of peak ? (key === "requests" ? [max / 2, max] : [max]) : []) {
			out.push(s("line.grid", { x1: left, x2: end, y1: y(v), y2: y(v) }), s("text", { x: end + 5, y: y(v) + 4 }, unit(v)));
		}
		const floor = this.shown.map(() => 0); // on which the next generation stands
		for (const n of this.numbers) {
			if (key === "failed") this.bars(out, (p) => value(p, n), floor, y);
			else this.runs(n, value, key === "p95" ? 0 : 1).forEach((run) => {
				const at = (i, v) => [this.x(this.shown[i].t), y(v)];
				const line = run.map((i) => at(i, floor[i] + value(this.shown[i], n)));
				if (key === "requests") out.push(s("path.area", { "data-hue": hue(n), d: path([...line, ...run.map((i) => at(i, floor[i])).reverse()]) }));
				out.push(s("path.line", { "data-hue": hue(n), d: path(line) }));
			});
			if (key !== "p95") this.shown.forEach((p, i) => { floor[i] += value(p, n); });
		}
		return out;
	}

	// runs are the stretches (indexes) in which a generation has a value.
	runs(n, value, around) {
		const out = [];
		let last = -2;
		this.shown.forEach((p, i) => {
			if (!this.shown.slice(Math.max(0, i - around), i + around + 1).some((q) => value(q, n) > 0)) return;
			if (last !== i - 1 || p.t - this.shown[last].t > gap) out.push([]);
			out.at(-1).push(i);
			last = i;
		});
		return out;
	}

	bars(out, value, floor, y) {
		const width = Math.max(1.5, (this.width * 1e3) / this.window - 1);
		this.shown.forEach((p, i) => {
			const v = value(p);
			if (v) out.push(s("rect.bad", { x: this.x(p.t) - width, y: y(floor[i] + v), width, height: Math.max(1, y(floor[i]) - y(floor[i] + v)) }));
		});
	}

	flags() {
		let free = Infinity; // labels are placed from the newest backwards
		return [...this.store.marks.values()].filter((m) => m.t >= this.from && m.t <= this.from + this.window).sort((a, b) => b.t - a.t).map((m) => {
			const x = this.x(m.t), label = String(m.number || "✕"), width = 8 + label.length * 7;
			const g = s("g.flag", { "data-hue": m.number ? hue(m.number) : null }, s("line", { x1: x, x2: x, y1: 4, y2: bottom }),
				s("title", `${clock(m.t)} ${m.number ? `generation ${m.number} live` : "update refused"}`));
			if (x + width < free) {
				g.append(s("rect", { x, width, height: 15, rx: 2 }), s("text", { x: x + width / 2, y: 11.5, "text-anchor": "middle" }, label));
				free = x - 2;
			}
			return g;
		});
	}

	drawReadout() {
		const p = this.shown?.find((q) => q.t === this.at) ?? this.shown?.at(-1);
		attr(this.cursor, "visibility", this.at ? "visible" : "hidden");
		if (!p) return text(this.readout, "no traffic seen yet");
		attr(this.cursor, "x1", this.x(p.t));
		attr(this.cursor, "x2", this.x(p.t));
		const p95 = `p95 ${took(p.p95 / 1e3)}`;
		this.readout.replaceChildren(h("time", clock(p.t)), ...p.gens.map((g) => h("span", gen(g.number, ""), ` ${count(g.requests)}/s`,
			g.failed ? h("b.failed", ` ${g.failed} failed`) : "")), h("span", p95));
		const words = [clock(p.t), ...p.gens.map((g) => `generation ${g.number} ${g.requests} requests, ${g.failed} failed`), p95].join("; ");
		attr(this.range, "aria-valuetext", words);
		attr(this.svg, "aria-label", "Traffic. " + words);
	}
}

const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

// nice is the next round number.
function nice(v) {
	const p = 10 ** Math.floor(Math.log10(v || 1));
	return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((m) => v <= m * p) * p;
}
