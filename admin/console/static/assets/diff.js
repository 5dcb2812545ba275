// Changes between two trees, as coloured unified diffs.

import { h } from "./dom.js";
import { plural } from "./format.js";

const max = 400; // lines of one file
const ops = { added: "+", removed: "−", changed: "~" };
const kinds = { "+": "add", "-": "del", "@": "hunk", "\\": "hunk" };

const linesOf = (change) => (change.diff ?? "").replace(/^---.*\n\+\+\+.*\n/, "").replace(/\n$/, "").split("\n");

export function summary(changes) {
	const lines = changes.flatMap(linesOf), n = (sign) => lines.filter((l) => l[0] === sign).length;
	return h("p.tally", changes.length ? [plural(changes.length, "file"), " ", h("span.add", `+${n("+")} `), h("span.del", `−${n("-")}`)] : "no file differs");
}

// diffs returns one part per file that unfolds to its lines; the first few are open.
export const diffs = (changes, open = 2) => h("div.diffs", changes.map((c, i) => {
	const lines = linesOf(c);
	return h("details", { open: i < open },
		h("summary", h("span.op", { "data-op": c.op, title: c.op }, ops[c.op] ?? "?"), h("code", c.path)),
		h("pre.diff", { tabindex: 0 }, lines.slice(0, max).map((l) => h("span", { class: kinds[l[0]] }, l, "\n")),
			lines.length > max && h("span.hunk", `… ${lines.length - max} more lines`)));
}));
