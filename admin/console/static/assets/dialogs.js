// The dialogs: rollback, the diff of the disk, the token, the keys.

import { call, setToken } from "./api.js";
import { diffs, summary } from "./diff.js";
import { announce, attr, failure, gen, h } from "./dom.js";
import { time, took } from "./format.js";

// open shows a modal dialog, unless there is one; it is gone once closed.
function open(title, ...body) {
	if (document.querySelector("dialog")) return null;
	const el = h("dialog", { "aria-label": title, onclose: () => el.remove() }, h("h2", title), body);
	document.body.append(el);
	el.showModal();
	return el;
}

const button = (label, props) => h("button", { type: "button", ...props }, label);
const closer = (label = "Close") => button(label, { onclick: (e) => e.target.closest("dialog").close() });
const buttons = (...list) => h("div.buttons", list);
const note = (words) => h("p.note", words);
const onsubmit = (send) => ({ onsubmit: (e) => { e.preventDefault(); send(); } });

// compare fills a box with what differs between two generations; 0 is the disk.
async function compare(box, from, to, unfolded) {
	const asked = (box.asked = {}); // a later call wins
	box.replaceChildren(note("comparing…"));
	const shown = await call("DiffGenerations", { from, to }).then(({ changes = [] }) => [summary(changes), diffs(changes, unfolded)], (e) => [failure(e.message)]);
	if (box.asked === asked) box.replaceChildren(...shown);
}

// openRollback asks, and rolls back to a generation; none is the one before the live one.
export function openRollback(store, number) {
	const live = store.status?.live?.number ?? 0;
	const kept = store.generations.filter((g) => g.number !== live);
	if (!kept.length) return announce("there is no generation to return to");
	const target = h("select", { id: "target", onchange: () => choose() }, kept.map((g) => h("option", { value: g.number }, [g.number, g.message?.slice(0, 50)].filter(Boolean).join(" · "))));
	const changes = h("div");
	const message = h("input.field", { id: "reason", maxlength: 200, autocomplete: "off" });
	const result = h("div.result", { role: "status" });
	const go = h("button.primary");
	const form = h("form", onsubmit(send),
		h("p.from", gen(live), "→", h("label", { for: "target" }, "generation"), target),
		changes, h("label", { for: "reason" }, "Why (shown in the history)"), message, result, buttons(closer("Cancel"), go));
	const keys = {}; // the same wish sent twice has one key and is carried out once
	if (!open("Roll back", note("Requests that run now end in their generation. The disk stays as it is."), form)) return;
	target.value = number ?? (kept.find((g) => g.number < live) ?? kept[0]).number;
	target.focus();
	choose();

	function choose() {
		go.textContent = `Roll back to ${target.value}`;
		compare(changes, live, Number(target.value), 1);
	}

	async function send() {
		const request = { generation: Number(target.value), message: message.value, expectedGeneration: live };
		const idempotencyKey = (keys[JSON.stringify(request)] ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16)).join(""));
		go.disabled = true;
		result.replaceChildren("rolling back…");
		try {
			const u = (await call("Rollback", { ...request, idempotencyKey })).update ?? {};
			const done = `Generation ${u.generation} is live, ${took((time(u.ended) - time(u.started)) / 1e3)} after it was asked for.`;
			const close = closer();
			form.replaceChildren(h("p.result", done), buttons(close));
			close.focus();
			announce(done);
		} catch (e) {
			const late = e.code === "aborted"; // somebody was faster
			result.replaceChildren(failure(e.message + (late ? ". Nothing was changed: close this and look again." : "")));
			go.disabled = late;
		}
		store.refresh();
	}
}

export function openDiff(live) {
	const box = h("div");
	if (open("Disk ≠ live", h("p.from", gen(live), "→ disk"), box, buttons(closer()))) compare(box, live, 0, 4);
}

// openToken asks for the token until there is one.
export function openToken(store, reason) {
	if (document.getElementById("token")) return;
	document.querySelector("dialog")?.remove();
	const field = h("input.field", { id: "token", type: "password", required: true, autocomplete: "off" });
	const dialog = open("Token", note("The admin API answers those who show the token. It is in .theseus/admin.json of the app, and changes with every start."), failure(reason),
		h("form", onsubmit(() => { setToken(field.value.trim()); dialog.remove(); store.start(); }),
			h("label", { for: "token" }, "Token"), field, buttons(h("button.primary", "Connect"))));
	attr(dialog, "closedby", "none"); // there is nothing to see without
}

export function openHelp(keys, enabled, enable) {
	open("Keys", h("dl.keys", keys.map(([k, [words]]) => [h("dt", h("kbd", k)), h("dd", words)])),
		h("label", h("input", { type: "checkbox", checked: enabled, onchange: (e) => enable(e.target.checked) }), " single keys act"), buttons(closer()));
}
