// The last refused update: what is wrong, where, and what to do.

import { now } from "./api.js";
import { View, announce, gen, h, panel } from "./dom.js";
import { ago, plural, time } from "./format.js";

export class Problems extends View {
	topics = ["status", "updates"];

	draw() {
		const { staged, live } = this.store.status ?? {};
		const past = this.store.updates.find((u) => u.outcome === "refused");
		const current = staged?.problems?.length > 0, problems = current ? staged.problems : past?.problems ?? [];
		const shown = JSON.stringify([problems, current, past?.id, live?.number]);
		if (shown === this.shown) return;
		this.shown = shown;
		this.hidden = !problems.length;
		if (this.hidden) return;
		const first = problems[0].message, rest = problems.length - 8;
		const list = h("ol.problems", problems.slice(0, 8).map(problem), rest > 0 && h("li", `and ${rest} more`));
		if (current) {
			const el = panel("The disk is refused", [gen(live?.number ?? 0), ` serves on · ${plural(problems.length, "problem")}`], list);
			el.classList.add("refused");
			this.replaceChildren(el);
			announce(`The disk is refused: ${first}`);
		} else {
			this.replaceChildren(h("details.panel.past", h("summary", h("h2", "Last refused update"), h("span.aside", `${ago(time(past.ended), now())} · ${first}`)), list));
		}
	}
}

const problem = (p) => h("li",
	h("p", h("span.tag", p.kind), p.file && h("code", [p.file, p.line, p.column].filter(Boolean).join(":")), h("b", p.message)),
	p.frame && h("pre.frame", { tabindex: 0 }, p.frame.trimEnd().split("\n").map((l) => h("span", { class: l[0] === ">" ? "here" : /^ +\| +\^/.test(l) ? "caret" : null }, l, "\n"))),
	p.hint && h("p.hint", h("b", "hint"), p.hint));
