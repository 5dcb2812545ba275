// Changes between two trees, as coloured unified diffs.

import { h } from "./dom.js";
import { plural } from "./format.js";

const max = 400; // lines of one file
const ops = { added: "+", removed: "−", changed: "~" };
const kinds = { "+": "add", "-": "del", "@": "hunk", "\\": "hunk" };

const linesOf = (change) => (change.diff ?? "").replace(/^---.*\n\+\+\+.*\n/, "").replace(/\n$/, "").split("\n");

export function summary(changes) {
	const lines = changes.flatMap(linesOf), n = (sign) => lines.filter((l) => l[0] === sign).length;
	return h("p", { class: "tally" }, changes.length ? [plural(changes.length, "file"), " ", h("span", { class: "add" }, `+${n("+")} `), h("span", { class: "del" }, `−${n("-")}`)] : "no file differs");
}

// diffs returns one part per file that unfolds to its lines; the first few are open.
export const diffs = (changes, open = 2) => h("div", { class: "diffs" }, changes.map((c, i) => {
	const lines = linesOf(c);
	return h("details", { open: i < open },
		h("summary", null, h("span", { class: "op", "data-op": c.op, title: c.op }, ops[c.op] ?? "?"), h("code", null, c.path)),
		h("pre", { class: "diff", tabindex: 0 }, lines.slice(0, max).map((l) => h("span", { class: kinds[l[0]] }, l, "\n")),
			lines.length > max && h("span", { class: "hunk" }, `… ${lines.length - max} more lines`)));
}));
