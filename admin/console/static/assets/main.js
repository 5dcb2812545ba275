// The console of Theseus. Everything it shows comes from the admin API.

import { takeToken } from "./api.js";
import { openHelp, openRollback, openToken } from "./dialogs.js";
import { View, attr } from "./dom.js";
import { Store } from "./store.js";

const store = (View.store = new Store());
store.denied = (reason) => openToken(store, reason);

takeToken();
addEventListener("hashchange", () => {
	if (!takeToken()) return;
	document.getElementById("token")?.closest("dialog").remove();
	store.start();
});
document.addEventListener("visibilitychange", () => document.hidden || store.refresh());

// The views need the store. Each class of these modules is the element of its name.
for (const views of await Promise.all(["header", "problems", "chart", "generations", "process", "work", "events"].map((name) => import(`./${name}.js`)))) {
	for (const [name, view] of Object.entries(views)) customElements.define(`theseus-${name.toLowerCase()}`, view);
}

const keep = (key, value) => { try { localStorage.setItem(`theseus.${key}`, value); } catch { /* storage is off */ } };

const themes = { system: "◐", light: "☀", dark: "☾" };
const themeButton = document.getElementById("theme");
const root = document.documentElement.style;
const theme = () => root.colorScheme || "system";
function setTheme(name) {
	keep("theme", name);
	root.colorScheme = name === "system" ? "" : name;
	themeButton.textContent = themes[name];
	attr(themeButton, "aria-label", `Theme: ${name}`);
}
const nextTheme = () => setTheme({ system: "light", light: "dark", dark: "system" }[theme()]);
setTheme(theme());
themeButton.onclick = nextTheme;

let keysOn = true;
try { keysOn = localStorage.getItem("theseus.keys") !== "off"; } catch { /* storage is off */ }
const actions = {
	r: ["roll back", () => openRollback(store)],
	p: ["pause or resume the events", () => document.querySelector("theseus-events").toggle()],
	t: ["theme: system, light, dark", nextTheme],
	"?": ["these keys", help],
};
function help() {
	openHelp(Object.entries(actions), keysOn, (on) => { keysOn = on; keep("keys", on ? "on" : "off"); });
}
document.getElementById("help").onclick = help;
document.addEventListener("keydown", (e) => {
	if (!keysOn || e.ctrlKey || e.metaKey || e.altKey || !actions[e.key] || document.querySelector("dialog")) return;
	if (e.target.closest("select, input:not([type=range])")) return;
	e.preventDefault();
	actions[e.key][1]();
});

store.start();
