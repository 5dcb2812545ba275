// The admin API: calls, and the stream of events.

const base = new URL("./", location.href);
const key = "theseus.token";
let token = "";
try { token = sessionStorage.getItem(key) ?? ""; } catch { /* storage is off: it lives as long as the page */ }

// takeToken moves a token from the address to the session; false if there is none.
export function takeToken() {
	const t = new URLSearchParams(location.hash.slice(1)).get("t");
	if (t) {
		history.replaceState(null, "", location.pathname + location.search);
		setToken(t);
	}
	return Boolean(t);
}

export function setToken(t) {
	token = t;
	try { sessionStorage.setItem(key, t); } catch { /* as above */ }
}

// What is not ASCII can't stand in a header.
const headers = () => (/^[\x21-\x7e]+$/.test(token) ? { Authorization: `Bearer ${token}` } : {});

// APIError is an answer that is none; code is Connect's.
export class APIError extends Error {
	constructor(code, message) {
		super(message);
		this.code = code;
	}
}

async function refusal(res) {
	const e = await res.json().catch(() => ({}));
	return new APIError(res.status === 401 ? "unauthenticated" : e.code, e.message ?? `HTTP ${res.status} ${res.statusText}`);
}

let ahead = 0; // ms by which the server's clock is ahead
export const now = () => Date.now() + ahead;

export async function call(method, request = {}) {
	let res;
	try {
		res = await fetch(new URL(`theseus.admin.v1.AdminService/${method}`, base), {
			method: "POST",
			headers: { ...headers(), "Content-Type": "application/json" },
			body: JSON.stringify(request),
		});
	} catch {
		throw new APIError("unavailable", "the admin listener does not answer: is theseus running?");
	}
	if (!res.ok) throw await refusal(res);
	const differ = Date.parse(res.headers.get("Date")) - Date.now();
	ahead = Math.abs(differ) > 2000 ? differ : 0; // the header has whole seconds
	return res.json();
}

const quiet = 40e3; // ms without a byte that end a stream; a sign of life comes every 15 s

// Stream follows the events: first all that are kept, after a cut those since
// the last one seen. It waits 1 s, 2 s, 4 s, up to 30 s between attempts. It
// calls event(type, data), and state("connecting"), ("live"), ("waiting",
// until) or ("denied", why).
export class Stream {
	constructor(event, state) {
		Object.assign(this, { event, state, last: "", attempt: 0 });
	}

	// start connects now.
	start() {
		clearTimeout(this.timer);
		this.abort?.abort();
		this.run(this.abort = new AbortController());
	}

	async run(abort) {
		let dead;
		const alive = () => { clearTimeout(dead); dead = setTimeout(() => abort.abort(), quiet); };
		this.state("connecting");
		try {
			alive();
			const res = await fetch(new URL("api/v1/events" + (this.last ? "" : "?after=0"), base), {
				headers: { ...headers(), ...(this.last && { "Last-Event-ID": this.last }) },
				signal: abort.signal,
			});
			if (!res.ok) throw await refusal(res);
			this.state("live");
			const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
			const parse = parser((id, type, data) => {
				this.last = id ?? this.last;
				if (data) this.event(type, data);
			});
			for (;;) {
				const { value, done } = await reader.read();
				if (done) break;
				alive();
				this.attempt = 0;
				parse(value);
			}
		} catch (e) {
			if (this.abort === abort && e.code === "unauthenticated") return this.state("denied", e.message);
		} finally {
			clearTimeout(dead);
		}
		if (this.abort !== abort) return; // start was called again
		const wait = Math.min(30e3, 1e3 * 2 ** this.attempt++) * (0.9 + Math.random() / 5);
		this.state("waiting", Date.now() + wait);
		this.timer = setTimeout(() => this.start(), wait);
	}
}

// parser returns a function that takes the text of an event stream, cut
// anywhere, and calls emit(id, type, data) per event.
export function parser(emit) {
	let rest = "", id, type = "message", data = [];
	return (chunk) => {
		// A carriage return at the end may be half of a line break: it waits.
		const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
		rest = lines.pop();
		for (const line of lines) {
			const [, field, value] = line.match(/^([^:]*):? ?([^]*)$/);
			if (line === "") {
				emit(id, type, data.join("\n"));
				id = undefined; type = "message"; data = [];
			} else if (field === "data") data.push(value);
			else if (field === "event") type = value;
			else if (field === "id") id = value;
		}
	};
}
