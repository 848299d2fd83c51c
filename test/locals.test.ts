import { GuestError, InvalidRequestError, type Session, StoppedError } from "@livescope/sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  await session.execute(`
    const cur = new Locals();
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const read = () => { try { return cur.x } catch (error) { return error.name + ": " + error.message } };
    const UNBOUND = "ReferenceError: x is not bound in these locals";
    const log = [];
    const output = () => console.log("hello world", cur.x)`);
  return () => session.delete();
});

async function lines(code: string): Promise<string[]> {
  const { console } = await session.execute(code).execution();
  return console.map(({ text }) => text);
}

describe("a binding lives as long as its block", () => {
  test("and is seen by what the block calls", async () => {
    expect(await lines("cur.with({ x: 1 }, output); cur.with({ x: 3 }, output)")).toEqual([
      "hello world 1",
      "hello world 3",
    ]);
  });

  test("and outside of it there is none", async () => {
    expect(await session.execute("[read() === UNBOUND, 'x' in cur, 'x' in locals]")).toEqual([true, false, false]);
  });

  test("and cannot be assigned, deleted or defined", async () => {
    const code = `cur.with({ x: 1 }, () => [
      ...["cur.x = 2", "delete cur.x", "Object.defineProperty(cur, 'x', { value: 2 })", "cur.y = 1", "Object.setPrototypeOf(cur, null)"]
        .map((code) => { try { (0, eval)(code); return "done" } catch (error) { return error.name } }),
      cur.x])`;
    expect(await session.execute(code)).toEqual([...Array(5).fill("TypeError"), 1]);
  });

  test("and blocks nest, each with what it does not bind itself", async () => {
    const nested = "cur.with({ x: 1 }, () => [cur.x, cur.with({ x: 2 }, read), cur.x].join(' '))";
    expect(await session.execute(nested)).toBe("1 2 1");
    const partly = "cur.with({ x: 1, y: 1 }, () => cur.with({ y: 2 }, () => [cur.x, cur.y].join(' ')))";
    expect(await session.execute(partly)).toBe("1 2");
  });

  test("that of a request is there for getters of what the code throws, also where nothing has read it before", async () => {
    const thrown = session.execute("throw { get x() { return locals.x } }", { locals: { x: 1 } });
    await expect(thrown).rejects.toMatchObject({ thrown: { x: 1 } });
  });

  test("and of what a generator throws that a stream runs", async () => {
    const code = "(function* () { yield 1; throw { get x() { return locals.x } } })()";
    const ended = session.stream(code, { locals: { x: 1 } }).execution();
    await expect(ended).rejects.toMatchObject({ thrown: { x: 1 } });
  });

  test("also when the inner one throws", async () => {
    const code = `const seen = cur.with({ x: 1 }, () => {
      try { cur.with({ x: 2 }, () => { throw new Error(String(cur.x)) }) } catch (error) { return [error.message, cur.x] }
    });
    [...seen, read() === UNBOUND]`;
    expect(await session.execute(code)).toEqual(["2", 1, true]);
  });

  test("across awaits, in then and finally, and in a timer; and outside there is none while it waits", async () => {
    const code = `
      let timed;
      const block = cur.with({ x: 1 }, async () => {
        const seen = [cur.x];
        await 0; seen.push(cur.x);
        await sleep(1); seen.push(cur.x);
        await Promise.reject(new Error()).catch(() => 0); seen.push(cur.x);
        await Promise.resolve().then(() => seen.push(cur.x)).finally(() => seen.push(cur.x));
        await new Promise((resolve) => setTimeout(() => { timed = cur.x; resolve() }, 1));
        await new Promise((resolve) => queueMicrotask(() => { seen.push(cur.x); resolve() }));
        return seen;
      });
      const outside = [read() === UNBOUND];
      await sleep(1);
      outside.push(read() === UNBOUND);
      const seen = await block;
      [...seen, timed, ...outside, read() === UNBOUND]`;
    expect(await session.execute(code)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, true, true, true]);
  });

  test("in each of three tasks at once", async () => {
    const code = `
      const task = (x, ms) => cur.with({ x }, async () => {
        let seen = cur.x;
        for (let i = 0; i < 2; i++) { await sleep(ms); seen += cur.x }
        return seen;
      });
      (await Promise.all([task("a", 3), task("b", 1), task("c", 2)])).join()`;
    expect(await session.execute(code)).toBe("aaa,bbb,ccc");
  });

  test("in a thenable that is awaited, or returned, or given to resolve(), also of two at once", async () => {
    const code = `
      const thenable = (value) => ({ then(resolve) { log.push(read()); resolve(value) } });
      const awaits = cur.with({ x: 1 }, async () => { await thenable(1); return cur.x });
      const returns = cur.with({ x: 2 }, async () => thenable(2));
      const resolves = cur.with({ x: 3 }, () => Promise.resolve(thenable(3)));
      const reacts = cur.with({ x: 4 }, () => Promise.resolve().then(() => thenable(4)));
      const withResolvers = cur.with({ x: 5 }, () => { const { promise, resolve } = Promise.withResolvers(); resolve(thenable(5)); return promise });
      const all = cur.with({ x: 6 }, () => Promise.all([thenable(6)]));
      const finallyOf = cur.with({ x: 7 }, () => Promise.resolve().finally(() => thenable(7)));
      await Promise.all([awaits, returns, resolves, reacts, withResolvers, all, finallyOf]);
      log.sort().join()`;
    expect(await session.execute(code)).toBe("1,2,3,4,5,6,7");
    const interleaved = `
      const run = (n) => cur.with({ x: n }, async () => {
        let seen = cur.x;
        seen += await { then(resolve) { queueMicrotask(() => resolve("v" + read())) } };
        return seen + (await { then(resolve) { resolve("v") } });
      });
      (await Promise.all([run(1), run(2)])).join()`;
    expect(await session.execute(interleaved)).toBe("1v1v,2v2v");
  });

  test("in the `finally` of a generator that a loop closes because it gave a promise that was rejected", async () => {
    const code = `
      function* gives(values) { try { yield* values } finally { log.push(cur.x) } }
      const loop = (x, values) => cur.with({ x }, async () => { for await (const value of gives(values)) log.push(value) });
      const caught = (loop) => loop.catch((error) => log.push(error));
      await caught(loop(1, [Promise.reject("first")]));
      await caught(loop(2, [3, Promise.reject("second"), 4]));
      await caught(loop(5, [{ then() { throw "third" } }]));
      await loop(6, []);
      const counted = { closed: 0, next: () => ({ done: true }), return() { this.closed++; return {} }, [Symbol.iterator]() { return this } };
      for await (const value of counted);
      [log.join(), counted.closed]`;
    expect(await session.execute(code)).toEqual(["1,first,3,2,second,5,third,6", 0]);
  });

  test("in the pattern of a `catch` that takes what was awaited", async () => {
    const code = `
      const thrown = { get first() { log.push(read()); return 1 } };
      const fails = async () => { try { await Promise.reject(thrown) } catch ({ first, second = read(), third = await read() }) { return [second, third, read()] } };
      const outer = 0;
      async function* generates() { try { yield 5; await Promise.reject([]) } catch ([outer = (() => read())()]) { { let outer } yield outer } }
      const values = [];
      const all = [await cur.with({ x: 1 }, fails), await cur.with({ x: 2 }, async () => { for await (const value of generates()) values.push(value); return values })];
      [log.splice(0).join(), all.join(), fails.toString().includes("catch ({ first, second = read(), third = await read() }) {")]`;
    expect(await session.execute(code)).toEqual(["1", "1,1,1,5,2", true]);
  });

  test("in a thenable that an async iterator gives in place of a promise", async () => {
    const code = `
      const gives = (name, result) => ({ then(resolve) { log.push(name + read()); resolve(result) } });
      const iterable = {
        [Symbol.asyncIterator]() { return this },
        next: () => gives("next ", { value: 0 }),
        throw: () => gives("throw ", { value: 0 }),
        return: () => gives("return ", { done: true }),
      };
      await cur.with({ x: 1 }, async () => { for await (const value of iterable) break });
      async function* delegates() { yield* iterable }
      const delegating = delegates();
      await cur.with({ x: 2 }, () => delegating.next());
      await cur.with({ x: 3 }, () => delegating.throw());
      await cur.with({ x: 3 }, () => delegating.return());
      log.splice(0).join()`;
    expect(await session.execute(code)).toBe("next 1,return 1,next 2,throw 3,return 3");
  });

  test("in what an async generator leaves by a `return`, which awaits what it gives", async () => {
    const code = `
      const closed = { [Symbol.iterator]() { return this }, next: () => ({ value: 0 }), return() { log.push(read()); return {} } };
      async function* lasts(given) { try { return given } finally { log.push(read()) } }
      async function* catches() { try { return Promise.reject() } catch { log.push(read()) } }
      async function* loops() { for (const value of closed) return value }
      await cur.with({ x: 1 }, () => lasts(Promise.resolve()).next());
      await cur.with({ x: 2 }, () => lasts(1).next());
      await cur.with({ x: 3 }, () => catches().next());
      await cur.with({ x: 4 }, () => loops().next());
      log.splice(0).join()`;
    expect(await session.execute(code)).toBe("1,2,3,4");
  });

  test("in what a loop that awaits assigns to, and behind it; where that throws, the iterator is closed", async () => {
    const code = `
      async function* gives() { try { yield 1; yield 2 } finally { log.push("closed " + read()) } }
      const key = (name) => { log.push(name + " " + read()); return name };
      const to = {};
      await cur.with({ x: 1 }, async () => { for await (to[key("a")] of gives()) log.push(read()) });
      await cur.with({ x: 2 }, async () => { for await (to[await key("b")] of gives()) { log.push(read()); break } });
      await cur.with({ x: 3 }, async () => { for await (key("c")[nope] of gives()); }).catch(({ name }) => log.push(name));
      [log.splice(0).join(), to]`;
    const first = "a 1,1,a 1,1,closed 1";
    const expected = [`${first},b 2,2,closed 2,c 3,closed 3,ReferenceError`, { a: 2, b: 1 }];
    expect(await session.execute(code)).toEqual(expected);
  });

  test("in what `finally` waits for, which is asked itself where it is of the same class", async () => {
    const code = `
      class Mine extends Promise {
        then(...given) { log.push((this === gives ? "gives " : "another ") + read()); return super.then(...given) }
      }
      const gives = Mine.resolve();
      await cur.with({ x: 1 }, () => Mine.resolve().finally(() => { log.splice(0); return gives }));
      const first = log.splice(0)[0];
      await cur.with({ x: 2 }, () => Promise.resolve().finally(() => gives));
      [first, log.join()]`;
    expect(await session.execute(code)).toEqual(["gives 1", "gives 2"]);
  });

  test("in modules, and in those that import() brings in", async () => {
    const modules = { part: "export const seen = [locals.user]; await 0; seen.push(locals.user)" };
    const code =
      "export { seen } from 'part'; export const { seen: again } = await import('part'); console.log(locals.user)";
    const locals = { user: "ann" };
    const { console } = await session
      .execute(code, { sourceType: "module", filename: "main", modules, locals })
      .execution();
    expect(console.map(({ text }) => text)).toEqual(["ann"]);
    expect(await session.execute("(await import('main')).seen.join()")).toBe("ann,ann");
    const other = { other: "console.log(locals.user); await 0; console.log(locals.user); export {}" };
    const imports = session.execute("await eval(\"import('other')\"); 0", { modules: other, locals: { user: "eve" } });
    expect((await imports.execution()).console.map(({ text }) => text)).toEqual(["eve", "eve"]);
  });

  test("in code of eval and new Function", async () => {
    const code = `
      const body = "const before = read(); await 0; return [before, read()].join('')";
      const AsyncFunction = (async () => {}).constructor;
      await cur.with({ x: 1 }, async () => [
        await eval("(async () => { " + body + " })()"),
        await (0, eval)("(async () => { " + body + " })")(),
        await new Function("return (async () => { " + body + " })()")(),
        await new AsyncFunction(body)(),
        await (async () => { const mine = 5; return eval("(async () => { await 0; return [mine, read()].join('') })()") })(),
      ])`;
    expect(await session.execute(code)).toEqual(["11", "11", "11", "11", "51"]);
  });
});

describe("the locals of a request", () => {
  test("are seen by what it calls, through awaits and timers, and by nobody after it", async () => {
    await session.execute("async function who() { await sleep(1); return locals.user }");
    expect(await session.call("who", [], { locals: { user: "ann" } })).toBe("ann");
    const error = await session.call("who").catch((thrown: GuestError) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({ guestName: "ReferenceError" });
    expect(String(error)).toContain("user is not bound");
    expect(await session.execute("await who()", { locals: { user: "bob" } })).toBe("bob");
  });

  test("are seen by a then of its own that the promise has which it gives", async () => {
    await session.execute(`
      class Asked extends Promise { then(...args) { console.log(locals.user); return super.then(...args) } }
      const give = () => new Asked((resolve) => resolve(1))`);
    const { value, console } = await session.call("give", [], { locals: { user: "ann" } }).execution();
    expect([value, console.map(({ text }) => text)]).toEqual([1, ["ann"]]);
  });

  test("are each execution's own while several run", async () => {
    await session.execute(
      "async function who() { const first = locals.user; await sleep(3); return first + ' ' + locals.user }",
    );
    await using who = await session.handle("who");
    const calls = ["a", "b", "c"].map((user) => who.call([], { locals: { user } }));
    expect(await Promise.all(calls)).toEqual(["a a", "b b", "c c"]);
    const bound = session.fn<[], string>("who", { locals: { user: "d" } });
    expect(await bound()).toBe("d d");
  });

  test("may be values of every kind that goes in, handles included", async () => {
    await session.execute("globalThis.cell = { n: 1 }; 0");
    await using cell = await session.handle("cell");
    const locals = { cell, list: [1, { a: null }], nothing: undefined };
    expect(
      await session.execute(
        "locals.cell.n++; [locals.list[1].a, 'nothing' in locals, locals.nothing === undefined, Object.keys(locals).join()]",
        { locals },
      ),
    ).toEqual([null, true, true, "cell,list,nothing"]);
    expect(await cell.get("n")).toBe(2);
  });

  test("are seen by a template, also after it awaits, whose places stay", async () => {
    await session.execute("const later = async (x) => { await 0; return x + locals.user }");
    const text = "{{ locals.user }} {{ await later('x') }}\n{{ await later(locals.user) + locals.user }}";
    expect(await session.render(text, {}, { locals: { user: "ann" } })).toBe("ann xann\nannannann");
    const broken = session.render("{{ await 0 }}\n{{ await 0 + nope }}", {}, { filename: "t.html" });
    const error = await broken.execution().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ frames: [{ filename: "t.html", line: 2, column: 14 }] });
    await expect(session.render("{{ $livescope$ }}")).rejects.toThrow("$livescope$");
  });

  test("are left alone by `with` in the execution, and come back after it", async () => {
    const code = "[locals.a, locals.with({ a: 2, b: 3 }, () => locals.a + locals.b), locals.a, 'b' in locals]";
    expect(await session.execute(code, { locals: { a: 1 } })).toEqual([1, 5, 1, false]);
  });

  test.each(["with", "1x", "a b", "$livescope$"])("cannot have the name %s", async (name) => {
    const error = await session
      .execute("1", { locals: { [name]: 1 } })
      .execution()
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(InvalidRequestError);
    const inside = `try { cur.with({ with: 1 }, () => 0) } catch (error) { error.name }`;
    expect(await session.execute(inside)).toBe("TypeError");
  });

  test("go on in what an execution leaves behind, which then belongs to nobody", async () => {
    await session.execute("setTimeout(() => { log.push(locals.user) }, 1); 0", { locals: { user: "ann" } });
    expect(await session.execute("await sleep(5); log.push('user' in locals); log.join()")).toBe("ann,false");
  });
});

describe("AsyncContext", () => {
  test("has variables with a name and a default, whose value runs with the code", async () => {
    const code = `
      const v = new AsyncContext.Variable({ name: "v", defaultValue: "none" });
      const plain = new AsyncContext.Variable();
      const inside = await v.run("in", async (a, b) => { await 0; return [v.get(), a, b].join() }, 1, 2);
      [v.name, v.get(), plain.name, plain.get() === undefined, inside, v.get(),
        Object.prototype.toString.call(v), typeof AsyncContext.Snapshot.wrap, AsyncContext.Variable.name]`;
    expect(await session.execute(code)).toEqual([
      ...["v", "none", "", true, "in,1,2", "none", "[object AsyncContext.Variable]", "function", "Variable"],
    ]);
  });

  test("has snapshots, that bring back every value of their moment", async () => {
    const code = `
      const v = new AsyncContext.Variable();
      const snapshot = v.run(1, () => cur.with({ x: 2 }, () => new AsyncContext.Snapshot()));
      const wrapped = v.run(3, () => AsyncContext.Snapshot.wrap(function named(a) { return [v.get(), a, this.b] }));
      [snapshot.run((more) => [v.get(), cur.x, more], 4), wrapped.call({ b: 5 }, 6), wrapped.length, wrapped.name,
        await snapshot.run(async () => { await 0; return v.get() }), v.get() === undefined]`;
    expect(await session.execute(code)).toEqual([[1, 2, 4], [3, 6, 5], 1, "wrapped named", 1, true]);
  });
});

describe("an execution that was stopped", () => {
  test("is dead: nothing of it runs on, `catch` and `finally` included", async () => {
    await session.execute("let open; const gate = new Promise((resolve) => { open = resolve })");
    const waits = session.execute(
      `(async () => { try { await gate; log.push("went on") } catch { log.push("catch") } finally { log.push("finally") } })();
      (async () => { for (const x of { *[Symbol.iterator]() { try { yield 1 } finally { log.push("closed") } } }) await gate })();
      (async () => { for await (const x of (async function* () { try { yield await gate } finally { log.push("generator") } })()) log.push("loop") })();
      (async () => { await { then(resolve) { gate.then(resolve) } }; log.push("thenable") })();
      gate.then(() => log.push("then")).finally(() => log.push("finally of then"));
      gate.then(() => eval("(async () => { log.push('evaluated') })()"));
      globalThis.mine = (async () => { await gate })();
      try { await sleep(10_000) } finally { log.push("end") }`,
      { timeout: 1_000 },
    );
    expect(await waits.execution().catch((error) => error)).toBeInstanceOf(StoppedError);
    // Who waits for what it would have done learns that it never will.
    const other = await session.execute(
      `gate.then(() => log.push("of another"));
      open();
      const seen = await mine.then(() => "settled", (error) => String(error));
      await sleep(5);
      [seen, log.join()]`,
    );
    expect(other).toEqual(["InternalError: interrupted", "of another"]);
  });

  test("does not spoil the turn in which it would have gone on", async () => {
    await session.execute("let open; const gate = new Promise((resolve) => { open = resolve }); let n = 0");
    const waits = session.execute("setTimeout(() => 0, 10_000); await gate; n = 100", { timeout: 30 });
    await waits.execution().catch(() => undefined);
    const { value, usage } = await session.execute<number>("n = 1; open(); await gate; n += 1; n").execution();
    expect(value).toBe(2);
    expect(usage.turns).toBe(1);
  });

  test("leaves alone what settled ones left behind", async () => {
    await session.execute("let open; const gate = new Promise((resolve) => { open = resolve })");
    await session.execute("(async () => { try { await gate } finally { log.push('lives on') } })(); 0");
    await session.execute("open(); 0");
    expect(await session.execute("log.join()")).toBe("lives on");
  });
});

describe("compiled sources", () => {
  test("show the text that their author wrote", async () => {
    const texts = [
      "async (a, b = 1) => await a /* c */ + await b",
      "async function f() { for await (const { a = await 1, ['*/']: b } of x) { try { await a } catch { return 1, 2 } finally { await b } } }",
      "async function f() { for await (const [a = async () => { for await ({ b: f()[await 1] } of x) { b } }] of y) { a } for await (a of y); }",
      "async function f() { for await (const { a = await ')*/' } of (x) /* ) */ )await a; for await (a[await 1] of x) if (a) break }",
      "async function* g() { yield 1; yield* h(); label: for (const x of y) { await x; break label } }",
      "async () => ({ a: 1 })",
    ];
    for (const text of texts) {
      expect(await session.execute(`String(${text})`)).toBe(text);
      expect(await session.execute(`String(eval(${JSON.stringify(`(${text})`)}))`)).toBe(text);
    }
  });

  test("may be evaluated again from that text", async () => {
    expect(await session.execute("const f = async (n) => (await n) + 1; await eval('(' + f + ')')(2)")).toBe(3);
  });

  test("that cannot be compiled do not run", async () => {
    const deep = `async () => ${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    await expect(session.execute(deep).execution()).rejects.toMatchObject({ phase: "PARSE" });
    expect(await session.execute("try { eval('async (') } catch (error) { error.name }")).toBe("SyntaxError");
  });

  test("that are too long to be read within the limits of their session are not, and those that need not be read run", async () => {
    const run = (from: string, length: number) =>
      session.execute(
        `try { eval(${JSON.stringify(from)}.padEnd(${length})) } catch (error) { error.name + ": " + error.message }`,
      );
    const most = 4 << 20;
    expect(await run("async () => 1; 7", most)).toBe(7);
    expect(await run("async () => 1; 7", most + 1)).toMatch(/^SyntaxError: .* 4194304 characters/);
    expect(await run("'\\u0041'", most + 1)).toBe("A");
  });

  test("keep their completion values", async () => {
    const cases: [string, unknown][] = [
      ["try { await 0; 1 } finally { 2 }", 1],
      ["try { await 0; throw 1 } catch { 2 }", 2],
      ["for await (const x of [1, 2]) x * 2", 4],
      ["let i = 0; for await (const x of [1, 2]) { if (i++) continue; 5 }", null],
      ["if (await 1) 7", 7],
    ];
    for (const [code, value] of cases) {
      expect([code, (await session.execute(code)) ?? null]).toEqual([code, value]);
    }
  });
});
