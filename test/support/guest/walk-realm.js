// Run in a realm: gives the paths of all objects ("o …") and functions ("f …") that its code can get hold of.
(() => {
  const seen = new Map();
  const queue = [];
  const visit = (value, path) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.set(value, path);
    queue.push(value);
  };
  const attempt = (look) => {
    try {
      return look();
    } catch {
      return undefined;
    }
  };
  class Klass {
    static #hidden = 1;
    static read() {
      return Klass.#hidden;
    }
  }
  const strict = (function () {
    "use strict";
    return arguments;
  })();
  const roots = {
    global: globalThis,
    generator: (function* () {})(),
    asyncGenerator: (async function* () {})(),
    asyncFunction: async () => {},
    generatorFunction: function* () {},
    asyncGeneratorFunction: async function* () {},
    arrayIterator: [][Symbol.iterator](),
    mapIterator: new Map().entries(),
    setIterator: new Set().values(),
    stringIterator: ""[Symbol.iterator](),
    matches: "a".matchAll(/a/g),
    wrapped: Iterator.from({ next() {} }),
    helper: [].values().map((x) => x),
    match: /a/.exec("a"),
    sloppyArguments: (function () { return arguments })(),    strictArguments: strict,
    thrower: Object.getOwnPropertyDescriptor(strict, "callee"),
    error: (() => {
      try {
        return null.x;
      } catch (error) {
        return error;
      }
    })(),
    aggregate: new AggregateError([new Error("x", { cause: new Error("y") })]),
    template: ((strings) => strings)`a${1}b`,
    revocable: Proxy.revocable({}, {}),
    proxy: new Proxy(function () {}, {}),
    promise: Promise.resolve(1),
    capability: Promise.withResolvers(),
    klass: Klass,
    bound: function () {}.bind(null),
    view: new DataView(new ArrayBuffer(8)),
    date: new Date(0),
    weak: new WeakRef({}),
    boxed: [Object(1n), Object(Symbol.iterator), Object("a"), Object(1), Object(true)],
    callerOfSort: (() => {
      let caller;
      [2, 1].sort(function compare() {
        caller = attempt(() => compare.caller);
        return 0;
      });
      return caller;
    })(),
  };
  for (const [name, root] of Object.entries(roots)) visit(root, name);
  while (queue.length > 0) {
    const object = queue.shift();
    const path = seen.get(object);
    const keys = attempt(() => Reflect.ownKeys(object));
    for (const key of Array.isArray(keys) ? keys : []) {
      const at = object === globalThis ? String(key) : `${path}.${String(key)}`;
      const { value, get, set } = attempt(() => Reflect.getOwnPropertyDescriptor(object, key)) ?? {};
      visit(value, at);
      visit(get, `get ${at}`);
      visit(set, `set ${at}`);
      visit(attempt(() => object[key]), at);    }
    visit(attempt(() => Object.getPrototypeOf(object)), `${path}.__proto__`);    if (typeof object !== "function") continue;
    for (const name of ["caller", "arguments"]) visit(attempt(() => object[name]), `${path}.${name}`);  }
  return [...seen].map(([value, path]) => `${typeof value === "function" ? "f" : "o"} ${path}`);
})();
