// The process, how the last upgrade went, and the old ones that still drain.

import { now } from "./api.js";
import { View, announce, facts, h, panel } from "./dom.js";
import { plural, signs, span, time } from "./format.js";

export class Process extends View {
	topics = ["status", "upgrade", "tick"];

	draw() {
		const { process, pid } = this.store.status ?? {}, u = this.store.upgrade;
		this.hidden = !process;
		if (!process) return;
		const { generation = 0, state, draining = [] } = process;
		const el = panel("Process", [`pid ${pid} · process generation ${generation}`, h("span.tag", { "data-state": state === "serving" ? "live" : "draining" }, state)],
			h("ul.rows.processes",
				u && h("li", h("p.verdict", h("span.sign", { "data-status": u.status }, signs[u.status]), " ", u.end ?? "upgrading…"), facts(...u.steps)),
				draining.map((o) => h("li", facts(`pid ${o.pid}`, `generation ${o.generation ?? 0}`, `draining for ${span((now() - time(o.since)) / 1e3)}`,
					plural(o.inflight ?? 0, "request"), plural(o.connections ?? 0, "connection"))))));
		if (el.textContent !== this.textContent) this.replaceChildren(el);
		if (u?.end && u.end !== this.told) announce(this.told = u.end);
	}
}
