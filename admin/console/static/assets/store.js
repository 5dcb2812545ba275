// What the page knows. Events say that something changed, the API what is true.
// Topics: those of loaders, stats, events, upgrade, connection, tick (each second).

import { APIError, Stream, call, now } from "./api.js";
import { time, took } from "./format.js";

const list = (method, key, limit) => async () => (await call(method, { limit }))[key] ?? [];
const loaders = {
	status: async () => (await call("GetStatus")).status ?? {},
	generations: list("ListGenerations", "generations", 50),
	jobs: list("ListJobs", "jobs"),
	runs: list("ListRuns", "runs", 30),
	updates: list("ListUpdates", "updates", 50),
};

// What an event makes stale, and how old (ms) that may become.
const stale = {
	stats: [2000, "status", "generations"],
	update: [0, "status", "generations", "updates", "jobs"],
	generation: [0, "status", "generations"],
	drift: [0, "status"],
	upgrade: [0, "status"],
	app: [0, "status"],
	run: [1000, "runs", "jobs"],
	job: [1000, "runs", "jobs"],
};

export class Store extends EventTarget {
	status = null;
	generations = [];
	jobs = [];
	runs = [];
	updates = [];
	samples = []; // of each second, oldest first; at most 330
	marks = new Map(); // update id → {t, number}; number 0 for a refused one
	events = []; // newest first; at most 500
	upgrade = null; // the last one: {steps, status, end}
	connection = { kind: "connecting" };
	denied = () => {}; // called with the reason when the token is missing or wrong

	#loads = new Map(); // topic → {at, due, timer, running, again}
	#seq = 0;
	#stream = new Stream((type, data) => this.#take(type, data), (kind, detail) => this.#connected(kind, detail));

	start() {
		this.#stream.start();
		this.ticker ??= setInterval(() => this.#changed("tick"), 1000);
	}

	#changed(topic) {
		this.dispatchEvent(new Event(topic));
	}

	#connected(kind, detail) {
		this.connection = { kind, until: detail };
		this.#changed("connection");
		if (kind === "denied") this.denied(detail);
		if (kind === "live") this.refresh();
	}

	// refresh asks for topics again, unless they are younger than age, in ms.
	refresh(age = 0, topics = Object.keys(loaders)) {
		for (const topic of topics) {
			if (!this.#loads.has(topic)) this.#loads.set(topic, { at: 0 });
			const l = this.#loads.get(topic);
			if (l.running) {
				l.again ||= age === 0;
				continue;
			}
			const due = Math.max(Date.now() + 60, l.at + age);
			if (l.timer && l.due <= due) continue;
			clearTimeout(l.timer);
			l.due = due;
			l.timer = setTimeout(() => this.#load(topic, l), due - Date.now());
		}
	}

	async #load(topic, l) {
		l.timer = null;
		if (document.hidden && l.at) return; // asked for again when it is looked at
		l.running = true;
		try {
			this[topic] = await loaders[topic]();
			if (topic === "updates") this.updates.forEach((u) => this.#mark(u));
			this.#changed(topic);
		} catch (e) {
			if (!(e instanceof APIError)) throw e;
			if (e.code === "unauthenticated") this.denied(e.message);
		} finally {
			l.at = Date.now();
			l.running = false;
			if (l.again) this.refresh(0, [topic]);
			l.again = false;
		}
	}

	#take(type, json) {
		if (type === "lagged") return; // the stream ends and is taken up again
		let e;
		try { e = JSON.parse(json); } catch { return; }
		if (type === "missed") e = { type: "console", level: "warn", message: `${e.count} events are no longer kept` };
		if (type === "stats") this.#sample(e.data ?? {});
		else this.#log(e);
		if (type === "update" && e.data) this.#mark(e.data);
		if (type === "upgrade" && e.data) this.#step(e.data, e.message);
		const [age, ...topics] = stale[type] ?? [0];
		this.refresh(age, topics);
	}

	#sample(d) {
		const t = time(d.time);
		if (t <= (this.samples.at(-1)?.t ?? 0)) return;
		const gens = (d.generations ?? []).map((g) => ({ ...g, p95: g.p95_ms }));
		const sum = (key) => gens.reduce((n, g) => n + g[key], 0);
		this.samples.push({ ...d, t, gens, requests: sum("requests"), failed: sum("failed"), p95: Math.max(0, ...gens.map((g) => g.p95)) });
		if (this.samples.length > 330) this.samples.shift();
		this.#changed("stats");
	}

	#mark(u) {
		if (!["live", "rolled_back", "refused"].includes(u.outcome)) return;
		this.marks.set(u.id, { t: time(u.ended), number: u.outcome === "refused" ? 0 : u.generation });
		if (this.marks.size > 200) this.marks.delete(this.marks.keys().next().value);
		this.#changed("stats");
	}

	// #step notes how an upgrade goes. That it went well both processes tell.
	#step({ name, step, took_ns, pid, peer }, message) {
		const end = { failed: message, committed: `pid ${pid} → pid ${peer}`, serving: peer && `pid ${peer} → pid ${pid}` }[name];
		if (end ? end === this.upgrade?.end : name !== "step") return;
		if (!this.upgrade || this.upgrade.end) this.upgrade = { steps: [], status: "running" };
		if (end) Object.assign(this.upgrade, { end, status: name === "failed" ? "failed" : "ok" });
		else this.upgrade.steps.push(`${step} ${took(took_ns / 1e9)}`);
		this.#changed("upgrade");
	}

	#log({ message = "", type = "", time: at, generation, level, data }) {
		level = (level || "info").toLowerCase();
		// Requests and steps are detail, unless they failed.
		const failed = data?.status >= 500 || data?.status === "failed";
		if (level === "info") level = failed ? "warn" : /^(step |request$|upgrade: )/.test(message) ? "debug" : level;
		if (type === "log" && data) message += Object.entries(data).map(([k, v]) => ` ${k}=${v}`).join("");
		this.events.unshift({ key: ++this.#seq, t: time(at) || now(), type, level, message, generation });
		this.events.length = Math.min(this.events.length, 500);
		this.#changed("events");
	}
}
