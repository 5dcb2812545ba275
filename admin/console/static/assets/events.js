// The log of events, newest first; it can be held still.

import { View, announce, attr, gen, h, keyed, panel, text } from "./dom.js";
import { clock } from "./format.js";

const levels = ["debug", "info", "warn", "error"];

export class Events extends View {
	topics = ["events"];
	held = null; // what is shown while paused

	build() {
		this.select = h("select", { "aria-label": "Level", onchange: () => this.redraw() },
			["everything", "info and above", "warnings and errors", "errors"].map((words, i) => h("option", { value: i, selected: i === 1 }, words)));
		this.pause = h("button", { onclick: () => this.toggle() });
		this.list = h("ol.log", { role: "log", "aria-live": "off", "aria-label": "Events", tabindex: 0 });
		this.append(panel("Events", [this.select, this.pause], this.list));
	}

	toggle() {
		this.held = this.held ? null : [...this.store.events];
		attr(this.pause, "aria-pressed", Boolean(this.held));
		this.redraw();
	}

	draw() {
		const enough = (e) => levels.indexOf(e.level) >= this.select.value;
		const all = this.store.events, newest = this.held?.[0]?.key ?? 0;
		const fresh = this.held && all.filter((e) => enough(e) && e.key > newest).length;
		text(this.pause, this.held ? `Resume · ${fresh} new` : "Pause");
		keyed(this.list, (this.held ?? all).filter(enough).slice(0, 150), (e) => e.key, (e) => h("li", { "data-level": e.level },
			h("time", clock(e.t)), h("span.level", e.level),
			h("span.message", e.generation && gen(e.generation, ""), " ", h("span.type", e.type), " ", e.message)));
		const last = all[0];
		if (last && last.key !== this.told && (last.type === "update" || last.level === "error")) announce(last.message);
		this.told = last?.key;
	}
}
