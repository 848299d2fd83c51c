/** Expressions that must give in a session what they give in Node. Where Node departs from a standard there is none. */

const CLASSES = [
  "AbortController",
  "AbortSignal",
  "CustomEvent",
  "DOMException",
  "Event",
  "EventTarget",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "URLSearchParams",
];
/** Node departs from the DOM standard in some attributes of these. */
const OF_THEIR_OWN = new Set(["AbortSignal", "Event"]);

export const shapes = [
  ...CLASSES.map((name) => `Object.prototype.toString.call(${name}.prototype)`),
  ...CLASSES.map((name) => `[${name}.name, ${name}.length, typeof ${name}, Object.getPrototypeOf(${name}).name]`),
  ...CLASSES.filter((name) => !OF_THEIR_OWN.has(name)).map(
    (name) => `Object.entries(Object.getOwnPropertyDescriptors(${name}.prototype)).sort()
      .map(([key, { value, get, set, enumerable }]) => [key, typeof value, value?.length, !!get, !!set, enumerable])`,
  ),
  ...CLASSES.map((name) => `${name}()`),
  "[typeof crypto.randomUUID, crypto.getRandomValues.length, Object.prototype.toString.call(crypto)]",
  "[typeof performance.now, performance.now.length, Object.prototype.toString.call(performance)]",
  ...["atob", "btoa", "queueMicrotask"].map((name) => `[${name}.name, ${name}.length]`),
  "new AbortSignal()",
  "new Crypto()",
  "new Performance()",
];

const BASE64 = ["''", "'a'", "'ab'", "'abc'", "'\\0\\xff~ '", "null", "undefined", "12", "'é'", "'€'", "'\\ud800'"];
const CODED = [
  "''",
  "'YQ=='",
  "'YQ'",
  "'Y Q\\n=='",
  "'YQ='",
  "'Y'",
  "'YWI='",
  "'YWJj'",
  "'=YQ'",
  "'YQ=='",
  "'ab-_'",
  "null",
];

export const base64 = [
  ...BASE64.map((text) => `btoa(${text})`),
  ...CODED.map((text) => `[...atob(${text})].map((it) => it.charCodeAt())`),
  "atob()",
  "btoa()",
  "btoa(Symbol())",
];

export const domExceptions = [
  "(({ name, message, code }) => [name, message, code])(new DOMException())",
  "(({ name, message, code }) => [name, message, code])(new DOMException('m', 'DataCloneError'))",
  "(({ name, message, code }) => [name, message, code])(new DOMException(1, 2))",
  "(({ name, cause }) => [name, cause])(new DOMException('m', { name: 'AbortError', cause: 7 }))",
  "String(new DOMException('m', 'NotFoundError'))",
  "[new DOMException() instanceof Error, Object.prototype.toString.call(new DOMException())]",
  "Object.entries(DOMException)",
  "'cause' in new DOMException('m', 'x')",
  "DOMException.prototype.name",
];

const BYTES = [
  "[]",
  "[0x68, 0x69]",
  "[0xc3, 0xa9]",
  "[0xe2, 0x82, 0xac]",
  "[0xf0, 0x9f, 0x98, 0x80]",
  "[0xff]",
  "[0xc3]",
  "[0xe2, 0x82]",
  "[0xf0, 0x9f, 0x98]",
  "[0xc0, 0x80]",
  "[0xed, 0xa0, 0x80]",
  "[0xf4, 0x90, 0x80, 0x80]",
  "[0xef, 0xbb, 0xbf, 0x61]",
  "[0x61, 0xef, 0xbb, 0xbf]",
  "[0xff, 0xfe, 0x61, 0x00]",
  "[0x61, 0x00, 0x3d, 0xd8, 0x00, 0xde]",
  "[0x3d, 0xd8]",
  "[0x00, 0xde, 0x61]",
];
const DECODERS = ["'utf-8'", "'utf-8', { fatal: true }", "'utf-8', { ignoreBOM: true }", "'utf-16le'", "'utf-16be'"];
const LABELS = ["utf8", "UTF-8", " utf-8 ", "unicode-1-1-utf-8", "utf-16", "UCS-2", "latin1", "ascii", "iso-8859-1"];

export const textDecoding = [
  ...DECODERS.flatMap((decoder) =>
    BYTES.map((bytes) => `escape(new TextDecoder(${decoder}).decode(new Uint8Array(${bytes})))`),
  ),
  ...BYTES.map(
    (bytes) =>
      `(() => { const decoder = new TextDecoder(); const text = ${bytes}.map((it) => decoder.decode(new Uint8Array([it]), { stream: true }));
        return escape(text.join('|') + '|' + decoder.decode()) })()`,
  ),
  ...LABELS.map((label) => `new TextDecoder('${label}').encoding`),
  "new TextDecoder('nonsense')",
  "(({ encoding, fatal, ignoreBOM }) => [encoding, fatal, ignoreBOM])(new TextDecoder('utf-8', { fatal: 1 }))",
  "escape(new TextDecoder('koi8-r').decode(Uint8Array.from({ length: 256 }, (_, i) => i)))",
  "escape(new TextDecoder('iso-8859-2').decode(Uint8Array.from({ length: 256 }, (_, i) => i)))",
  "new TextDecoder().decode(new Uint8Array([1, 104, 105, 2]).subarray(1, 3))",
  "new TextDecoder().decode(new DataView(new Uint8Array([104, 105]).buffer))",
  "new TextDecoder().decode(new Uint16Array([26984]).buffer)",
  "new TextDecoder().decode()",
  "new TextDecoder().decode('text')",
  "new TextDecoder().decode(new Uint8Array(100_000).fill(97)).length",
];

export const textEncoding = [
  ...["''", "'hi'", "'é€😀'", "'\\ud800x'", "'\\udc00\\ud800'", "undefined", "null", "12", "'\\0'", "'\\ufeffa'"].map(
    (text) => `new TextEncoder().encode(${text})`,
  ),
  ...["'hello'", "'é€😀'", "'a😀b'", "'\\ud800'", "''"].flatMap((text) =>
    [0, 1, 3, 4, 9].map(
      (size) =>
        `(() => { const to = new Uint8Array(${size}); const { read, written } = new TextEncoder().encodeInto(${text}, to); return [read, written, to] })()`,
    ),
  ),
  "new TextEncoder().encoding",
  "new TextEncoder().encode() instanceof Uint8Array",
  "new TextEncoder().encodeInto('a', [])",
  "new TextEncoder().encodeInto('a')",
];

/** Each builds a value; what is told of its clone follows. */
const CLONED: readonly (readonly [value: string, tell: string])[] = [
  ...["1", "'x'", "true", "null", "undefined", "10n", "NaN", "-0"].map(
    (value) => [value, "[typeof it, Object.is(it, -0)]"] as const,
  ),
  ["new Date(5)", "[it instanceof Date, it.getTime()]"],
  ["new Date(NaN)", "String(it)"],
  ["(() => { const r = /a(?<b>c)/giu; r.lastIndex = 3; return r })()", "[it.source, it.flags, it.lastIndex]"],
  ["new Map([[{}, [1]], ['a', new Map()]])", "[it instanceof Map, it.size, [...it]]"],
  ["new Set([1, 'a', {}])", "[it instanceof Set, [...it]]"],
  ["[1, , 3]", "[it.length, 1 in it, Array.isArray(it)]"],
  ["Object.assign([1], { x: 2 })", "[it.length, it.x]"],
  [
    "Object.create({ inherited: 1 }, { hidden: { value: 1 }, shown: { value: 2, enumerable: true } })",
    "Object.entries(it)",
  ],
  ["Object.create(null)", "Object.getPrototypeOf(it) === Object.prototype"],
  ["JSON.parse('{\"__proto__\": 1}')", "Object.keys(it)"],
  [
    "({ get x() { return 7 }, [Symbol()]: 1 })",
    "[Object.getOwnPropertyDescriptor(it, 'x'), Object.getOwnPropertySymbols(it).length]",
  ],
  ["new (class Point { x = 1; y() {} })()", "[it.constructor.name, it]"],
  ["(() => { const o = {}; o.self = o; o.list = [o, o.list]; return o })()", "[it.self === it, it.list[0] === it]"],
  ["(() => { const x = {}; return { a: x, b: [x] } })()", "it.a === it.b[0]"],
  [
    "[new Number(1), new String('ab'), new Boolean(false), Object(1n)]",
    "it.map((x) => [typeof x, x.constructor.name, x.valueOf()])",
  ],
  [
    "new Uint8Array([1, 2, 3]).subarray(1)",
    "[it.constructor.name, it.byteOffset, it.length, it.buffer.byteLength, it[0]]",
  ],
  [
    "(() => { const b = new ArrayBuffer(8); return [new Uint8Array(b), new DataView(b, 2, 4), b] })()",
    "[it[0].buffer === it[2], it[1].buffer === it[2], it[1].byteOffset, it[1].byteLength]",
  ],
  ["new BigInt64Array([5n])", "[it.constructor.name, it[0]]"],
  ["new ArrayBuffer(4, { maxByteLength: 8 })", "[it.resizable, it.byteLength, it.maxByteLength]"],
  ["new RangeError('m', { cause: { a: 1 } })", "[it instanceof RangeError, it.message, it.cause, Object.keys(it)]"],
  [
    "Object.assign(new Error('m'), { name: 'TypeError', extra: 1 })",
    "[it instanceof TypeError, it.name, 'extra' in it]",
  ],
  ["(() => { const e = new TypeError('m'); e.stack = 'mine'; return e })()", "it.stack"],
  ["new AggregateError([1], 'm')", "[it.constructor.name, it.message]"],
  ["Object.defineProperty({}, 'x', { get() { throw new RangeError('no') }, enumerable: true })", "it"],
  ["Math", "it"],
];

export const structuredClones = [
  ...CLONED.map(([value, tell]) => `((it) => ${tell})(structuredClone(${value}))`),
  ...[
    ...[
      "() => {}",
      "class {}",
      "Symbol('x')",
      "Object(Symbol())",
      "Promise.resolve()",
      "new WeakMap()",
      "new WeakSet()",
    ],
    ...[
      "new WeakRef({})",
      "new Proxy({}, {})",
      "new Proxy([], {})",
      "[].values()",
      "new Map().keys()",
      "(function* () {})()",
    ],
    ...["(function () { return arguments })()", "globalThis", "{ deep: [{ f() {} }] }", "'a'.matchAll(/a/g)"],
  ].map((value) => `structuredClone(${value.startsWith("{") ? `(${value})` : value})`),
  "structuredClone()",
  "structuredClone(1, 2)",
  "structuredClone(1, null)",
  "(() => { const b = new ArrayBuffer(4); const c = structuredClone(b, { transfer: [b] }); return [b.byteLength, c.byteLength] })()",
  "(() => { const u = new Uint8Array([1, 2]); const c = structuredClone({ u }, { transfer: [u.buffer] }); return [u.length, c.u] })()",
  "(() => { const b = new ArrayBuffer(4); structuredClone(1, { transfer: [b] }); return b.byteLength })()",
  "(() => { const b = new ArrayBuffer(4); try { structuredClone([b, () => 1], { transfer: [b] }) } catch (e) { return [e.name, b.byteLength] } })()",
  "(() => { const b = new ArrayBuffer(4); structuredClone(1, { transfer: [b] }); structuredClone(b) })()",
  "(() => { const b = new ArrayBuffer(4); let n = 0; return structuredClone({ get n() { return n++ }, b }, { transfer: [b] }) })()",
  "(() => { const u = new Uint8Array(2); return structuredClone([u.buffer, { get n() { return (u[0] = 7) } }], { transfer: [u.buffer] }) })()",
  "(() => { const b = new ArrayBuffer(4); structuredClone(b, { transfer: [b, b] }) })()",
];

export const events = [
  "(({ type, bubbles, cancelable, composed, eventPhase, target, isTrusted }) => [type, bubbles, cancelable, composed, eventPhase, target, isTrusted])(new Event('x', { bubbles: true, cancelable: 1 }))",
  "[Event.NONE, Event.AT_TARGET, Event.CAPTURING_PHASE]",
  "new Event()",
  "new Event('x', 1)",
  "[new CustomEvent('x', { detail: 7 }).detail, new CustomEvent('x').detail, new CustomEvent('x') instanceof Event]",
  "(() => { const t = new EventTarget(), seen = []; t.addEventListener('x', (e) => seen.push(e.type, e.target === t, e.currentTarget === t, e.eventPhase, e.composedPath().length)); const e = new Event('x'); return [t.dispatchEvent(e), seen, e.currentTarget, e.eventPhase, e.target === t] })()",
  "(() => { const t = new EventTarget(), seen = []; const f = () => seen.push(1); t.addEventListener('x', f); t.addEventListener('x', f); t.addEventListener('x', f, true); t.dispatchEvent(new Event('x')); return seen.length })()",
  "(() => { const t = new EventTarget(), seen = []; t.addEventListener('x', () => seen.push(1), { once: true }); t.dispatchEvent(new Event('x')); t.dispatchEvent(new Event('x')); return seen })()",
  "(() => { const t = new EventTarget(), seen = []; t.addEventListener('x', { handleEvent(e) { seen.push(this.tag, e.type) }, tag: 't' }); t.dispatchEvent(new Event('x')); return seen })()",
  "(() => { const t = new EventTarget(); t.addEventListener('x', (e) => e.preventDefault()); return [t.dispatchEvent(new Event('x')), t.dispatchEvent(new Event('x', { cancelable: true }))] })()",
  "(() => { const t = new EventTarget(), seen = []; t.addEventListener('x', (e) => { seen.push(1); e.stopImmediatePropagation() }); t.addEventListener('x', () => seen.push(2)); t.dispatchEvent(new Event('x')); return seen })()",
  "(() => { const t = new EventTarget(), seen = []; const later = () => seen.push(2); t.addEventListener('x', () => { seen.push(1); t.removeEventListener('x', later); t.addEventListener('x', () => seen.push(3)) }); t.addEventListener('x', later); t.dispatchEvent(new Event('x')); return seen })()",
  "(() => { const t = new EventTarget(), seen = [], c = new AbortController(); t.addEventListener('x', () => seen.push(1), { signal: c.signal }); t.dispatchEvent(new Event('x')); c.abort(); t.dispatchEvent(new Event('x')); return seen })()",
  "(() => { const t = new EventTarget(); let error; t.addEventListener('x', (e) => { try { t.dispatchEvent(e) } catch (thrown) { error = thrown } }); t.dispatchEvent(new Event('x')); return error instanceof Error })()",
  "(() => { class Mine extends EventTarget { fire() { return this.dispatchEvent(new Event('x')) } } return new Mine().fire() })()",
  "new EventTarget().dispatchEvent({})",
  "new EventTarget().addEventListener('x')",
  "new EventTarget().addEventListener('x', null)",
  "new EventTarget().addEventListener('x', () => 1, { signal: {} })",
  "(() => { const e = new Event('x', { cancelable: true }); e.preventDefault(); return [e.defaultPrevented, e.returnValue] })()",
  "(() => { const e = new Event('x'); e.cancelBubble = false; const before = e.cancelBubble; e.cancelBubble = true; return [before, e.cancelBubble] })()",
];

export const aborts = [
  "(() => { const c = new AbortController(); const before = [c.signal.aborted, c.signal.reason]; c.abort(); return [before, c.signal.aborted, c.signal.reason.name, c.signal.reason.message] })()",
  "(() => { const c = new AbortController(); c.abort('why'); c.abort('again'); return c.signal.reason })()",
  "(() => { const c = new AbortController(); c.abort(null); return c.signal.reason })()",
  "(() => { const c = new AbortController(), seen = []; c.signal.onabort = (e) => seen.push('on', e.type, e.isTrusted); c.signal.addEventListener('abort', () => seen.push('listener')); c.abort(); c.abort(); return seen })()",
  "[AbortSignal.abort().aborted, AbortSignal.abort().reason.name, AbortSignal.abort(7).reason]",
  "AbortSignal.abort(new RangeError('x')).throwIfAborted()",
  "new AbortController().signal.throwIfAborted()",
  "(() => { const a = new AbortController(), b = new AbortController(); const any = AbortSignal.any([a.signal, b.signal]); b.abort('b'); a.abort('a'); return [any.aborted, any.reason] })()",
  "AbortSignal.any([AbortSignal.abort(1), AbortSignal.abort(2)]).reason",
  "AbortSignal.any([]).aborted",
  "(() => { const a = new AbortController(), seen = []; const any = AbortSignal.any([AbortSignal.any([a.signal])]); any.onabort = () => seen.push('any', a.signal.aborted); a.signal.onabort = () => seen.push('a'); a.abort(); return seen })()",
  "AbortSignal.any([{}])",
  `(() => {
    const a = new AbortController(), t = new EventTarget(), seen = [];
    AbortSignal.any([a.signal]).addEventListener('abort', () => seen.push('abort'));
    AbortSignal.any([a.signal]).onabort = () => seen.push('onabort');
    t.addEventListener('x', () => seen.push('x'), { signal: AbortSignal.any([a.signal]) });
    t.dispatchEvent(new Event('x'));
    a.abort();
    t.dispatchEvent(new Event('x'));
    return seen;
  })()`,
  `(() => {
    const a = new AbortController(), any = AbortSignal.any([a.signal]), t = new EventTarget(), seen = [];
    const first = () => seen.push('first'), second = () => seen.push('second');
    any.addEventListener('abort', first);
    any.addEventListener('abort', second);
    any.removeEventListener('abort', first);
    t.addEventListener('x', first, { signal: any });
    t.removeEventListener('x', first);
    t.addEventListener('x', second, { signal: any, once: true });
    t.dispatchEvent(new Event('x'));
    a.abort();
    return [seen, any.aborted];
  })()`,
  "AbortSignal.any()",
  "AbortSignal.timeout(-1)",
  "Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted').get.call({})",
  "new AbortController().signal instanceof EventTarget",
];

export const microtasks = [
  "(async () => { const seen = []; queueMicrotask(() => seen.push(1)); Promise.resolve().then(() => seen.push(2)); queueMicrotask(() => seen.push(3)); seen.push(0); await 0; await 0; return seen })()",
  "(async () => { let args; queueMicrotask((...given) => { args = given }); await 0; return args })()",
  "queueMicrotask()",
  "queueMicrotask({})",
  "queueMicrotask(() => 1)",
];

export const random = [
  "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())",
  "crypto.getRandomValues(new Uint8Array(0)).length",
  "(() => { const a = new Uint32Array(8); return crypto.getRandomValues(a) === a && a.some((it) => it > 65535) })()",
  "new Set(Array.from({ length: 1000 }, () => crypto.randomUUID())).size",
  "(() => { const a = new Uint8Array(8); crypto.getRandomValues(a.subarray(2, 6)); return [a[0], a[1], a[6], a[7]] })()",
  "crypto.getRandomValues(new Uint8Array(65536)).length",
  "crypto.getRandomValues(new Uint8Array(65537))",
  "crypto.getRandomValues(new Float32Array(1))",
  "crypto.getRandomValues(new DataView(new ArrayBuffer(1)))",
  "crypto.getRandomValues()",
  "crypto.getRandomValues(new BigInt64Array(1)).length",
];

export const clocks = [
  "[typeof performance.now(), performance.now() >= 0, Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000]",
  "(() => { let last = 0; for (let i = 0; i < 1000; i++) { const now = performance.now(); if (now < last) return 'back'; last = now } return 'on' })()",
];
