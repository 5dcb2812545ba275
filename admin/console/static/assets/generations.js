// The history of generations. Each unfolds to what it changed and its units.

import { call, now } from "./api.js";
import { diffs, summary } from "./diff.js";
import { openRollback } from "./dialogs.js";
import { View, attr, facts, failure, gen, h, hue, keyed, panel, text } from "./dom.js";
import { ago, clock, count, plural, seconds, time, took } from "./format.js";

const triggers = { watch: "edit on disk", api: "reload by API", signal: "reload by signal" };

export class Generations extends View {
	topics = ["generations", "tick"];

	build() {
		this.total = h("span");
		this.list = h("ol.rows.generations");
		this.append(panel("Generations", this.total, this.list));
	}

	draw() {
		const all = this.store.generations;
		text(this.total, `${all.length} kept`);
		keyed(this.list, all, (g) => g.number, (g) => this.make(g.number), (el, g) => this.update(el, g));
	}

	make(number) {
		const el = h("li", { "data-hue": hue(number) });
		el.detail = h("div.detail", { id: `g${number}`, hidden: true });
		el.toggle = h("button.fold", { "aria-expanded": false, "aria-controls": el.detail.id, onclick: () => this.toggle(el, number) },
			gen(number, ""), el.state = h("span.tag"), el.label = h("span.title"), el.when = h("time"));
		el.under = h("div.under", el.units = h("span.carried", { "aria-hidden": true }, h("i")), el.facts = facts(),
			el.back = h("button.quiet", { "aria-label": `Roll back to generation ${number}`, onclick: () => openRollback(this.store, number) }, "Roll back"));
		el.append(el.toggle, el.under, el.detail);
		return el;
	}

	update(el, g) {
		attr(el.state, "data-state", g.state);
		text(el.state, g.state);
		text(el.label, g.message || triggers[g.trigger] || g.trigger);
		attr(el.label, "title", g.message);
		text(el.when, ago(time(g.created), now()));
		attr(el.when, "title", g.created);
		const { units = 0, carried = 0 } = g, failed = Number(g.failed ?? 0);
		el.units.firstChild.style.width = `${(100 * (units - carried)) / (units || 1)}%`;
		el.back.hidden = g.state === "live";
		const shown = facts(`${units - carried} compiled`, `${carried} carried`, plural(g.tests ?? 0, "test"), plural(g.requests ?? 0, "request"),
			h("span", { class: failed > 0 && "failed" }, `${count(failed)} failed`),
			(g.inflight || g.streams) && `${count(g.inflight)} in flight, ${plural(g.streams ?? 0, "stream")}`,
			g.drainedIn && `drained in ${took(seconds(g.drainedIn))}`, g.freedIn && `freed in ${took(seconds(g.freedIn))}`);
		if (el.facts.textContent === shown.textContent) return;
		el.facts.replaceWith(shown);
		el.facts = shown;
	}

	async toggle(el, number) {
		const open = el.detail.hidden;
		el.detail.hidden = !open;
		attr(el.toggle, "aria-expanded", open);
		if (open) el.detail.replaceChildren(...await this.detail(number).catch((e) => [failure(e.message)]));
	}

	async detail(number) {
		const before = this.store.generations.find((g) => g.number < number)?.number;
		const [{ generation: g = {}, files = [], units = [] }, { changes = [] }] = await Promise.all([call("GetGeneration", { number }), before ? call("DiffGenerations", { from: before, to: number }) : {}]);
		const out = [facts(`created ${clock(time(g.created))}`, `trigger ${g.trigger}`, `update ${g.update}`, plural(files.length, "file"), g.digest?.slice(0, 19))];
		if (before) out.push(h("h3", `Against generation ${before}`), summary(changes), diffs(changes));
		out.push(h("h3", "Units"), units.length ? table(units) : h("p.none", "not in memory; kept on disk for rollback"));
		return out;
	}
}

const table = (units) => h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Units" }, h("table",
	h("thead", h("tr", ["unit", "since", "runs", "errors", "used by"].map((n) => h("th", { scope: "col" }, n)))),
	h("tbody", units.map((u) => h("tr", h("td", h("code", u.name), " ", h("small", u.engine)), h("td", gen(u.since ?? 0, "")),
		h("td", count(u.executions)), h("td", { class: u.errors && "failed" }, count(u.errors)), h("td", (u.usedBy ?? []).join(", ")))))));
