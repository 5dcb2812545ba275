// Numbers, sizes and times for people.

const grouped = new Intl.NumberFormat("en-US");

// count: 1234 is "1,234", 1234567 is "1.23M".
export function count(n) {
	n = Number(n) || 0;
	if (n < 1e6) return grouped.format(n);
	return n < 1e9 ? (n / 1e6).toPrecision(3) + "M" : (n / 1e9).toPrecision(3) + "G";
}

export function bytes(n) {
	let unit = 0;
	for (; n >= 1024 && unit < 3; unit++) n /= 1024;
	return `${unit && n < 100 ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB"][unit]}`;
}

// took: how many seconds something lasted, "0.4 ms" to "2 h 5 m".
export function took(sec) {
	if (!(sec > 0)) return "0 ms";
	if (sec < 1) return (sec * 1e3).toFixed(sec < 0.01 ? 1 : 0) + " ms";
	return sec < 60 ? sec.toFixed(sec < 10 ? 1 : 0) + " s" : span(sec);
}

// span: whole units, the two largest: "3 d 4 h", "12 s".
export function span(sec) {
	const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
	const i = parts.findIndex(([size]) => sec >= size);
	if (i < 0) return "0 s";
	const [[a, unit], b] = [parts[i], parts[i + 1]];
	const rest = b && Math.floor((sec % a) / b[0]);
	return `${Math.floor(sec / a)} ${unit}` + (rest ? ` ${rest} ${b[1]}` : "");
}

// ago: how long before now, both in ms; the largest unit.
export const ago = (t, now) => (now - t < 1500 ? "now" : span((now - t) / 1e3).split(" ", 2).join(" ") + " ago");

export function clock(t, seconds = true) {
	const d = new Date(t);
	return [d.getHours(), d.getMinutes(), d.getSeconds()].slice(0, seconds ? 3 : 2).map((n) => String(n).padStart(2, "0")).join(":");
}

// seconds reads a duration of the API, "0.012s"; time a time stamp, in ms; 0 for none.
export const seconds = (d) => parseFloat(d) || 0;
export const time = (t) => Date.parse(t) || 0;

export const plural = (n, word) => `${count(n)} ${word}${Number(n) === 1 ? "" : "s"}`;

// signs tell a state without its colour.
export const signs = { ok: "✓", failed: "✕", running: "●", waiting: "○", skipped: "–", canceled: "⊘" };
