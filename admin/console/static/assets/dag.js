// The steps of a run as a graph, in layers from left to right.

import { h, s } from "./dom.js";
import { seconds, signs, took } from "./format.js";

const W = 112, H = 38, X = 24, Y = 10; // a node, and the space to the next

// layout puts each step into the layer behind the last one it needs, near those
// it needs. Steps that need each other, which no workflow has, end somewhere.
export function layout(steps) {
	const nodes = steps.map((step) => ({ step, layer: 0 }));
	for (const n of nodes) n.needs = nodes.filter((m) => m !== n && n.step.needs?.includes(m.step.name));
	for (const _ of nodes) {
		for (const n of nodes) n.layer = Math.min(nodes.length, Math.max(0, ...n.needs.map((m) => m.layer + 1)));
	}
	const layers = [];
	for (const n of nodes) (layers[n.layer] ??= []).push(n);
	const used = layers.filter(Boolean), rows = Math.max(...used.map((l) => l.length));
	used.forEach((layer, i) => {
		for (const n of layer) n.mean = n.needs.reduce((sum, m) => sum + (m.y ?? 0), 0) / (n.needs.length || 1);
		layer.sort((a, b) => a.mean - b.mean).forEach((n, row) => {
			n.x = i * (W + X);
			n.y = (row + (rows - layer.length) / 2) * (H + Y);
		});
	});
	return { nodes, width: used.length * (W + X) - X, height: rows * (H + Y) - Y };
}

// dag draws the first 100 steps.
export function dag(steps) {
	const { nodes, width, height } = layout(steps.slice(0, 100));
	const svg = s("svg.dag", { width: width + 2, height: height + 2, viewBox: `-1 -1 ${width + 2} ${height + 2}`, role: "img", "aria-label": "Steps: " + steps.map(words).join("; ") });
	for (const n of nodes) {
		for (const m of n.needs) {
			const x = m.x + W, y = m.y + H / 2, mid = (x + n.x) / 2, end = n.y + H / 2;
			svg.append(s("path.edge", { d: `M${x} ${y}C${mid} ${y} ${mid} ${end} ${n.x} ${end}` }));
		}
	}
	for (const { step, x, y } of nodes) {
		const d = seconds(step.duration), name = [...step.name];
		svg.append(s("g.node", { "data-status": step.status, transform: `translate(${x} ${y})` },
			s("title", words(step)), s("rect", { width: W, height: H, rx: 5 }),
			s("text", { x: 10, y: 16 }, name.length > 14 ? name.slice(0, 13).join("") + "…" : step.name),
			s("text.line2", { x: 10, y: 30 }, `${signs[step.status] ?? "?"} ${d ? took(d) : step.status}${step.attempts > 1 ? ` ×${step.attempts}` : ""}`)));
	}
	return h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Graph of the steps" }, svg);
}

const words = (st) => `${st.name} ${st.status}${st.attempts > 1 ? `, ${st.attempts} attempts` : ""}${st.error ? `: ${st.error}` : ""}`;
