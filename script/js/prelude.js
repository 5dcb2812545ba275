// What a script can reach, made of one host function. The file is a script
// whose value is [boot, loaded, call, settle]; see machine.go for who calls them.
"use strict";
(() => {
  const host = globalThis.__theseus;
  delete globalThis.__theseus;
  const { stringify, parse } = JSON;
  const { freeze, defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const ownKeys = Reflect.ownKeys;

  // --- no code from text -----------------------------------------------------

  const FunctionStub = function Function() { throw new TypeError("Function is not available: code comes from files only"); };
  defineProperty(FunctionStub, "prototype", { value: Function.prototype, writable: false });
  for (const f of [function () {}, async function () {}, function* () {}, async function* () {}]) {
    defineProperty(getPrototypeOf(f), "constructor", { value: FunctionStub, writable: false, configurable: true });
  }
  globalThis.Function = FunctionStub;
  globalThis.eval = () => { throw new TypeError("eval is not available: code comes from files only"); };

  // --- host calls --------------------------------------------------------------

  let exec = 0; // the number of the running execution
  const hostErrors = new WeakMap(); // error → its number in the host's list

  const reply = (r) => {
    switch (r[0]) {
      case "v": return parse(r.slice(1));
      case "s": return r.slice(1);
      case "u": return null;
    }
    const info = parse(r.slice(1));
    const e = new Error(info.message);
    defineProperty(e, "name", { value: info.name, configurable: true, writable: true, enumerable: false });
    defineProperty(e, "kind", { value: info.kind, enumerable: true });
    hostErrors.set(e, info.id);
    throw e;
  };
  const ask = (capability, args) => reply(host(capability, stringify(args)));

  const deep = (v) => {
    if (typeof v === "object" && v !== null) {
      if (Array.isArray(v)) for (let i = 0; i < v.length; i++) deep(v[i]);
      else for (const k in v) deep(v[k]);
      freeze(v);
    }
    return v;
  };

  // --- HTTP --------------------------------------------------------------------

  const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  const badValue = /[\u0000-\u0008\u000a-\u001f\u007f]/;
  const headerText = (name, v) => {
    if (typeof v !== "string" && typeof v !== "number" && typeof v !== "boolean") throw new TypeError(`header ${name}: want a string or a list of strings`);
    const text = String(v);
    if (badValue.test(text)) throw new TypeError(`header ${name}: a value must not contain control characters`);
    return text;
  };
  const names = new Map(); // header names that were checked → lower case
  const lowerName = (name) => {
    let lower = names.get(name);
    if (lower === undefined) {
      if (!tokenPattern.test(name)) throw new TypeError(`headers: ${stringify(name)} is not a header name`);
      lower = name.toLowerCase();
      if (names.size < 256) names.set(name, lower);
    }
    return lower;
  };
  const headersOf = (headers) => {
    const out = {};
    if (headers === undefined || headers === null) return freeze(out);
    if (typeof headers !== "object") throw new TypeError("headers: want an object");
    for (const name of Object.keys(headers)) {
      const v = headers[name];
      if (v === undefined || v === null) continue;
      out[lowerName(name)] = Array.isArray(v) ? freeze(v.map((x) => headerText(name, x))) : headerText(name, v);
    }
    return freeze(out);
  };
  const statusOf = (status, least = 200) => {
    if (!Number.isInteger(status) || status < least || status > 599) throw new RangeError(`status: want an integer from ${least} to 599, got ${String(status)}`);
    return status;
  };

  const isChecked = {}; // says that headers come from headersOf
  const jsonOnly = freeze({ "content-type": "application/json" });

  class Response {
    #body; #status; #headers;
    constructor(body = null, { status = 200, headers } = {}, checked) {
      if (body !== null && typeof body !== "string") throw new TypeError(`new Response(body): want a string or null, got ${typeof body}; Response.json(data) sends data`);
      this.#body = body;
      this.#status = statusOf(status);
      this.#headers = checked === isChecked ? headers : headersOf(headers);
      freeze(this);
    }
    get body() { return this.#body; }
    get status() { return this.#status; }
    get headers() { return this.#headers; }
    get ok() { return this.#status < 300; }
    text() { return this.#body ?? ""; }
    json() { return parse(this.#body ?? ""); }
    toJSON() { return { $theseus: "response", status: this.#status, headers: this.#headers, body: this.#body }; }
    static json(data, { status = 200, headers } = {}) {
      const body = stringify(data);
      if (body === undefined) throw new TypeError("Response.json(data): the data has no JSON form");
      let all = jsonOnly;
      if (headers !== undefined && headers !== null) {
        all = headersOf(headers);
        if (!("content-type" in all)) all = freeze({ "content-type": "application/json", ...all });
      }
      return new Response(body, { status, headers: all }, isChecked);
    }
    static redirect(url, status = 302) {
      if (typeof url !== "string") throw new TypeError("Response.redirect(url): want a string");
      if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`Response.redirect: ${String(status)} is not a redirect`);
      return new Response(null, { status, headers: { location: url } });
    }
    static is(v) { return #body in v; }
    static encode(r) {
      return '{"$theseus":"response","status":' + r.#status + ',"headers":' + stringify(r.#headers) + ',"body":' + stringify(r.#body) + "}";
    }
  }

  class HttpError extends Error {
    #status;
    constructor(status, message = `status ${status}`) {
      super(String(message));
      this.#status = statusOf(status, 400);
    }
    get name() { return "HttpError"; }
    get status() { return this.#status; }
    static is(v) { return #status in v; }
    static encode(e) {
      const message = String(e.message);
      return stringify({ $theseus: "response", status: e.#status, error: message || "error",
        headers: { "content-type": "application/json" }, body: stringify({ error: message }) });
    }
  }

  class Next {
    #headers; #locals;
    constructor(headers, locals) { this.#headers = headers; this.#locals = locals; freeze(this); }
    static is(v) { return #headers in v; }
    toJSON() { return { $theseus: "next", headers: this.#headers, locals: this.#locals }; }
  }
  const next = ({ headers, locals } = {}) => {
    if (locals !== undefined && locals !== null && (typeof locals !== "object" || Array.isArray(locals))) throw new TypeError("next({locals}): want an object");
    return new Next(headersOf(headers), locals ?? null);
  };
  const isResponse = Response.is, isNext = Next.is, isHttpError = HttpError.is;
  delete Response.is; delete Next.is; delete HttpError.is;
  const encodeResponse = Response.encode, encodeHttpError = HttpError.encode;
  delete Response.encode; delete HttpError.encode;

  // Everything is read from the host when it is first asked for.
  class Request {
    #exec; #index; #parts = null;
    constructor(index) { this.#exec = exec; this.#index = index; freeze(this); }
    #part(name) {
      const parts = (this.#parts ??= { __proto__: null });
      if (name in parts) return parts[name];
      if (this.#exec !== exec) throw new Error("this req belongs to a call that has ended");
      const v = reply(host("req", name, this.#index));
      return (parts[name] = name === "queryAll" || name === "locals" ? deep(v) : freeze(v)); // the others are flat
    }
    get method() { return this.#part("head")[0]; }
    get path() { return this.#part("head")[1]; }
    get host() { return this.#part("head")[2]; }
    get remote() { return this.#part("head")[3]; }
    get id() { return this.#part("head")[4]; }
    get generation() { return this.#part("head")[5]; }
    get params() { return this.#part("params"); }
    get query() { return this.#part("query"); }
    get queryAll() { return this.#part("queryAll"); }
    get headers() { return this.#part("headers"); }
    get cookies() { return this.#part("cookies"); }
    get locals() { return this.#part("locals"); }
    get body() { return this.#part("body"); }
    text() { return this.#part("body"); }
    json() {
      if (this.#part("body").length > 1000 && this.#part("deep")) throw new HttpError(400, "the body is not JSON that is read here: it is nested too deeply");
      try {
        return parse(this.#part("body"));
      } catch (e) {
        if (e instanceof SyntaxError && e.message !== "stack overflow") throw new HttpError(400, "the body is not JSON: " + e.message);
        throw e;
      }
    }
    toJSON() { return parse(this.#part("json")); }
  }

  class FetchResult {
    constructor({ status, headers, body }) {
      this.status = status;
      this.headers = headers ?? {};
      this.body = body ?? "";
      this.ok = status >= 200 && status < 300;
      deep(this.headers);
      freeze(this);
    }
    text() { return this.body; }
    json() { return parse(this.body); }
  }

  // --- capabilities --------------------------------------------------------------

  const maxMessage = 65536;
  const asText = (v) => {
    if (typeof v === "string") return v;
    try {
      if (v instanceof Error) return String(v) + (v.stack ? "\n" + String(v.stack).trimEnd() : "");
      if (typeof v === "object" && v !== null) return stringify(v) ?? String(v);
      return String(v);
    } catch (e) {
      return "(a value that has no text)";
    }
  };
  const isFields = (v) => typeof v === "object" && v !== null && !Array.isArray(v) && !(v instanceof Error);
  const logAt = (level, many) => {
    const capability = "log." + level;
    return (...args) => {
      let fields;
      if (!many && args.length > 1 && isFields(args[args.length - 1])) {
        const last = args.pop();
        try { fields = parse(stringify(last)); } catch (e) { fields = { fields: asText(last) }; }
      }
      const message = args.map(asText).join(" ").slice(0, maxMessage);
      ask(capability, isFields(fields) ? [message, fields] : [message]);
    };
  };
  const log = { debug: logAt("debug"), info: logAt("info"), warn: logAt("warn"), error: logAt("error") };
  const info = logAt("info", true), debug = logAt("debug", true);
  const console = { log: info, info, debug, trace: debug, warn: logAt("warn", true), error: logAt("error", true) };

  const kv = {
    get: (key) => ask("kv.get", [key]),
    set: (key, value, options) => { ask("kv.set", options === undefined ? [key, value] : [key, value, options]); },
    delete: (key) => ask("kv.delete", [key]),
    incr: (key, by = 1) => ask("kv.incr", [key, by]),
    cas: (key, old, value) => ask("kv.cas", [key, old, value]),
    keys: (prefix = "") => ask("kv.keys", [prefix]),
    update: (key, change) => {
      if (typeof change !== "function") throw new TypeError("kv.update(key, fn): want a function");
      for (let i = 0; i < 1000; i++) {
        const old = ask("kv.get", [key]);
        const before = stringify(old);
        const value = change(old);
        if (value instanceof Promise) throw new TypeError("kv.update(key, fn): fn must not be async");
        if (ask("kv.cas", [key, parse(before), value])) return value;
      }
      throw new Error(`kv.update: ${asText(key)} was changed by others 1000 times in a row`);
    },
  };
  const http = { fetch: (url, options) => new FetchResult(ask("http.fetch", options === undefined ? [url] : [url, options])) };
  const emit = (topic, data) => { ask("emit", [topic, data]); };
  const now = () => ask("now", []);
  const sleep = (ms) => { ask("sleep", [ms]); };
  const run = (name, argument) => {
    const v = ask("run", argument === undefined ? [name] : [name, argument]);
    if (typeof v !== "object" || v === null || v.$theseus !== "response") return v;
    if (v.error) throw new HttpError(v.status, v.error);
    return new Response(v.body, { status: v.status, headers: v.headers });
  };

  let configExec = -1, configVersion, configValue;
  const getConfig = () => {
    if (configExec !== exec) {
      const version = ask("config.version", []);
      if (version !== configVersion || configValue === undefined) {
        configValue = deep(ask("config.get", []) ?? {});
        configVersion = version;
      }
      configExec = exec;
    }
    return configValue;
  };

  const globals = { Response, HttpError, next, log, console, kv, http, emit, now, sleep, run };
  for (const name of Object.keys(globals)) {
    defineProperty(globalThis, name, { value: globals[name], writable: false, enumerable: false, configurable: false });
  }
  defineProperty(globalThis, "config", { get: getConfig, enumerable: false, configurable: false });

  // --- frozen intrinsics ----------------------------------------------------------

  // Assigning to an inherited read-only property throws. For the properties that
  // programs do shadow by assignment an accessor keeps that working.
  const letShadow = (proto, key) => {
    const d = getOwnPropertyDescriptor(proto, key);
    if (!d || !("value" in d) || !d.configurable) return;
    const value = d.value;
    defineProperty(proto, key, {
      get() { return value; },
      set(v) {
        if (this === proto) throw new TypeError(`${String(key)} is read-only: built-in objects are frozen`);
        if (this === null || (typeof this !== "object" && typeof this !== "function")) throw new TypeError(`cannot set ${String(key)}`);
        defineProperty(this, key, getOwnPropertyDescriptor(this, key) ? { value: v } : { value: v, writable: true, enumerable: true, configurable: true });
      },
      enumerable: false, configurable: false,
    });
  };
  const errors = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, InternalError, AggregateError, HttpError];
  for (const proto of [Object.prototype, Function.prototype, ...errors.map((c) => c.prototype)]) {
    for (const key of ownKeys(proto)) {
      if (typeof key === "string" && key !== "__proto__") letShadow(proto, key);
    }
  }

  const seen = new Set();
  const queue = [globalThis];
  // A function without a prototype has nothing to walk: freezing it is enough.
  const add = (v) => {
    if (typeof v === "function" && !v.prototype) freeze(v);
    else if ((typeof v === "object" && v !== null) || typeof v === "function") {
      if (!seen.has(v)) { seen.add(v); queue.push(v); }
    }
  };
  const hidden = [
    Request.prototype, FetchResult.prototype, Next.prototype,
    function* () {}, async function () {}, async function* () {},
    [][Symbol.iterator](), ""[Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](),
    "".matchAll(/x/g), [].values().map((x) => x), Iterator.from({ next() {} }),
    (function* () {})(), (async function* () {})(),
  ];
  seen.add(globalThis);
  for (const v of hidden) { add(v); add(getPrototypeOf(v)); }
  for (let v; (v = queue.pop()) !== undefined; ) {
    add(getPrototypeOf(v));
    for (const key of ownKeys(v)) {
      const d = getOwnPropertyDescriptor(v, key);
      if ("value" in d) add(d.value);
      else { add(d.get); add(d.set); }
    }
    freeze(v);
  }

  // --- calls ------------------------------------------------------------------------

  const clip = (v, n) => (typeof v === "string" ? (v.length > n ? v.slice(0, n) + "…" : v) : undefined);
  const failure = (e) => {
    if (typeof e !== "object" || e === null) return "x" + stringify({ thrown: true, null: e === null, message: clip(asText(e), 4096) });
    if (isHttpError(e)) return "r" + encodeHttpError(e);
    const r = { host: hostErrors.get(e) };
    try {
      if (e instanceof Error) {
        r.name = clip(e.name, 200);
        r.message = clip(e.message, 4096);
        r.stack = clip(e.stack, 16384);
        r.constructor = clip(e.constructor?.name, 200);
        if (typeof e.fileName === "string") { r.file = e.fileName; r.line = e.lineNumber; r.column = e.columnNumber; }
      } else {
        r.thrown = true;
        r.message = clip(asText(e), 4096);
      }
    } catch (again) {
      r.thrown = true;
      r.message = "an error that cannot be read";
    }
    return "x" + stringify(r);
  };

  // An answer above the limit is cut here, before it is copied.
  const within = (letter, text) => (text.length > maxOutput ? "o" + text.length : letter + text);

  const encode = (v) => {
    switch (typeof v) {
      case "string": return within("s", v);
      case "undefined": return "u";
      case "boolean": return v ? "jtrue" : "jfalse";
      case "number": return Number.isFinite(v) ? "j" + v : "u";
      case "object": {
        if (v === null) return "u";
        if (isResponse(v)) return within("r", encodeResponse(v));
        if (isNext(v)) return within("n", stringify(v));
        const text = stringify(v);
        return text === undefined ? "u" : within("j", text);
      }
    }
    throw new TypeError(`the result is a ${typeof v}, which is not data`);
  };

  let module, settled, maxOutput;
  const boot = (entry, limit) => {
    module = settled = undefined;
    maxOutput = limit;
    import(entry).then((ns) => { module = ns; settled = "u"; }, (e) => { settled = failure(e); });
  };
  const loaded = () => {
    if (settled === undefined) {
      // Out of memory nothing settles either: then this throws.
      return "p" + "x".repeat(262144).length;
    }
    return module ? "j" + stringify(Object.keys(module).map((k) => [k, typeof module[k]])) : settled;
  };

  const argument = (kind, text, index) => {
    switch (kind) {
      case 1: return new Request(index);
      case 2: return deep(parse(text));
      case 3: { const v = parse(text); v.req = new Request(index); return deep(v); }
      case 4: return text;
    }
    return null;
  };

  // kinds has three bits for each argument, the first in the lowest; see argument.
  const call = (number, name, kinds, ...texts) => {
    exec = number;
    settled = undefined;
    try {
      const f = module[name];
      let v;
      if (kinds === 1) v = f(new Request(0));
      else {
        const args = [];
        let k = kinds;
        for (let i = 0; i < texts.length; i++, k >>= 3) args.push(argument(k & 7, texts[i], i));
        v = f(...args);
      }
      if (typeof v === "string") return within("s", v);
      if (v instanceof Promise) {
        v.then((x) => { settled = [x]; }, (e) => { settled = failure(e); });
        return "p";
      }
      return encode(v);
    } catch (e) {
      return failure(e);
    }
  };
  const settle = () => {
    const s = settled;
    settled = undefined;
    if (s === undefined) return "p";
    if (typeof s === "string") return s;
    try { return encode(s[0]); } catch (e) { return failure(e); }
  };
  return [boot, loaded, call, settle];
})();
