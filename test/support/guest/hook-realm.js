// Run first in a session: puts hooks into everything that guest code can replace, which note all objects and functions that they
// are given and that could not be reached before. `$hooks.start()` sets them off, `$hooks.told()` tells what they saw.
globalThis.$hooks = (() => {
  const { apply, construct, ownKeys, getOwnPropertyDescriptor, defineProperty, getPrototypeOf } = Reflect;
  const { has: isIn, add } = Set.prototype;
  const { set, forEach } = Map.prototype;
  const { toString: textOf } = Function.prototype;
  const { includes } = String.prototype;
  const known = new Set();
  const found = new Map();
  const all = [];
  let isBusy = true;

  const isObject = (value) => (typeof value === "object" || typeof value === "function") && value !== null;
  const know = (value) => {
    if (!isObject(value) || apply(isIn, known, [value])) return;
    apply(add, known, [value]);
    defineProperty(all, all.length, { __proto__: null, value, writable: true, configurable: true });
  };
  /** What can be reached from a value, in order, into `all`. */
  const walk = (from) => {
    for (let at = from; at < all.length; at++) {
      const object = all[at];
      let keys = [];
      try {
        keys = ownKeys(object);
        know(getPrototypeOf(object));
      } catch {}
      for (let i = 0; i < keys.length; i++) {
        try {
          const descriptor = getOwnPropertyDescriptor(object, keys[i]);
          know(descriptor.value);
          know(descriptor.get);
          know(descriptor.set);
          know(object[keys[i]]);
        } catch {}
      }
    }
  };
  const note = (value, how) => {
    if (isObject(value) && !apply(isIn, known, [value])) apply(set, found, [value, how]);
  };
  const unless = (look) => {
    if (isBusy) return;
    isBusy = true;
    try {
      look();
    } finally {
      isBusy = false;
    }
  };
  const hooked = (original, how) => {
    const { hook } = {
      hook(...args) {
        unless(() => {
          note(this, `${how} this`);
          for (let i = 0; i < args.length; i++) note(args[i], `${how} argument`);
        });
        const result = new.target === undefined ? apply(original, this, args) : construct(original, args, new.target);
        unless(() => note(result, `${how} result`));
        return result;
      },
    };
    apply(add, known, [hook]);
    return hook;
  };

  for (const root of [
    globalThis,
    (function* () {})(),
    (async function* () {})(),
    async () => {},
    function* () {},
    async function* () {},
    [][Symbol.iterator](),
    new Map().entries(),
    new Set().values(),
    ""[Symbol.iterator](),
    "a".matchAll(/a/g),
    Iterator.from({ next() {} }),
    [].values().map((x) => x),
  ]) {
    know(root);
  }
  walk(0);
  const count = all.length;
  for (let i = 0; i < count; i++) {
    const object = all[i];
    const keys = object === globalThis ? [] : ownKeys(object);
    for (let k = 0; k < keys.length; k++) {
      const key = keys[k];
      const descriptor = getOwnPropertyDescriptor(object, key);
      if (key === "constructor" || key === "prototype" || key === Symbol.species || descriptor?.configurable !== true)
        continue;
      const { value, get, set: setter } = descriptor;
      const holder =
        typeof object === "function" ? object.name : String(object[Symbol.toStringTag] ?? object.constructor?.name);
      const how = `${holder}.${String(key)}`;
      if (typeof value === "function" && value.prototype === undefined) {
        defineProperty(object, key, { ...descriptor, value: hooked(value, how) });
      } else if (get !== undefined) {
        defineProperty(object, key, {
          ...descriptor,
          get: hooked(get, `get ${how}`),
          ...(setter === undefined ? {} : { set: hooked(setter, `set ${how}`) }),
        });
      }
    }
  }

  const trap = (object, key, how) => {
    if (getOwnPropertyDescriptor(object, key) !== undefined) return;
    defineProperty(object, key, {
      __proto__: null,
      configurable: true,
      get() {
        unless(() => note(this, `${how} get`));
        return undefined;
      },
      set(value) {
        unless(() => {
          note(this, `${how} set`);
          note(value, `${how} value`);
        });
        defineProperty(this, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
      },
    });
  };

  return {
    start(keys, indices) {
      for (let i = 0; i < keys.length; i++) trap(Object.prototype, keys[i], `Object.prototype.${keys[i]}`);
      for (let i = 0; i < indices; i++) trap(Array.prototype, `${i}`, "Array.prototype index");
      isBusy = false;
    },
    /** Lines: how it came, and what it is: a function without source text, or an object by its keys. */
    told() {
      isBusy = true;
      let text = "";
      const hows = [];
      apply(forEach, found, [
        (how, value) => {
          const from = all.length;
          know(value);
          walk(from);
          for (let i = from; i < all.length; i++) defineProperty(hows, i, { __proto__: null, value: how });
        },
      ]);
      for (let i = count; i < all.length; i++) {
        const value = all[i];
        let what;
        try {
          if (typeof value === "function") {
            if (!apply(includes, apply(textOf, value, []), ["[native code]"])) continue;
            what = `function ${value.name}`;
          } else {
            const keys = ownKeys(value);
            what = "object";
            if (ArrayBuffer.isView(value)) what += ` of ${value.buffer.byteLength} bytes`;
            else if (getPrototypeOf(value) === null) what += " without prototype";
            for (let k = 0; k < keys.length && k < 12; k++) what += ` ${String(keys[k])}`;
          }
        } catch (error) {
          what = `${error}`;
        }
        text += `${hows[i]} -> ${what}\n`;
      }
      return text;
    },
  };
})();
0;
