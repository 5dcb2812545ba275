// Jobs, and the latest runs of workflows and jobs.

import { now } from "./api.js";
import { dag } from "./dag.js";
import { View, attr, facts, gen, h, keyed, panel, text } from "./dom.js";
import { ago, clock, count, plural, seconds, signs, span, time, took } from "./format.js";

export class Jobs extends View {
	topics = ["jobs", "tick"];

	build() {
		this.list = h("ul.rows.jobs");
		this.append(panel("Jobs", null, this.none = h("p.none", "no jobs in this generation"), this.list));
	}

	draw() {
		this.none.hidden = this.store.jobs.length > 0;
		keyed(this.list, this.store.jobs, (j) => j.name,
			(j) => h("li", h("b", j.name), h("span.when"), h("span.how"), h("span.how")),
			(el, j) => {
				const [, when, how, counts] = el.children;
				const wait = (time(j.next) - now()) / 1e3;
				text(when, j.running ? "running" : !j.next ? "not planned" : wait > 0 ? `in ${span(Math.ceil(wait))}` : "due");
				text(how, j.schedule);
				attr(how, "title", `${j.run}, overlap: ${j.overlap}`);
				text(counts, [plural(j.ticks ?? 0, "tick"), j.skipped && `${count(j.skipped)} skipped`, j.failed && `${count(j.failed)} failed`].filter(Boolean).join(" · "));
			});
	}
}

export class Runs extends View {
	topics = ["runs", "tick"];
	open = null; // the run that is unfolded; at first the newest that has steps

	build() {
		this.list = h("ol.rows.runs");
		this.append(panel("Runs", null, this.none = h("p.none", "nothing has run yet"), this.list));
	}

	draw() {
		const runs = this.store.runs;
		this.none.hidden = runs.length > 0;
		this.open ??= runs.find((r) => r.steps?.length > 1)?.id;
		keyed(this.list, runs.slice(0, 10), (r) => r.id, (r) => this.make(r), (el, r) => this.update(el, r));
	}

	make(r) {
		const el = h("li");
		el.detail = h("div.detail", { id: `run-${r.id}` });
		el.toggle = h("button.fold", { "aria-controls": el.detail.id, onclick: () => { this.open = this.open === r.id ? "" : r.id; this.redraw(); } },
			el.status = h("span.sign", { role: "img" }), h("span.title", r.name, r.kind === "job" && h("small", " job")),
			el.steps = h("span.steps"), gen(r.generation ?? 0, ""), el.lasted = h("span.lasted"), el.when = h("time"));
		el.append(el.toggle, el.detail);
		return el;
	}

	update(el, r) {
		text(el.status, signs[r.status] ?? "?");
		for (const key of ["data-status", "aria-label", "title"]) attr(el.status, key, r.status);
		text(el.lasted, took(r.status === "running" ? (now() - time(r.started)) / 1e3 : seconds(r.duration)));
		text(el.when, ago(time(r.started), now()));
		const open = this.open === r.id;
		attr(el.toggle, "aria-expanded", open);
		el.detail.hidden = !open;
		const steps = r.steps ?? [], shown = JSON.stringify([open, steps, r.error]);
		if (el.shown === shown) return;
		el.shown = shown;
		el.steps.replaceChildren(...steps.slice(0, 12).map((st) => h("i", { "data-status": st.status })));
		if (!open) return;
		const errors = [...steps.filter((st) => st.error).map((st) => `${st.name}: ${st.error}`), r.error].filter(Boolean);
		el.detail.replaceChildren(steps.length ? dag(steps) : "", ...errors.map((e) => h("p.error", e)),
			facts(`started ${clock(time(r.started))}`, r.unit, r.tick && `tick ${r.tick}`, r.id));
	}
}
