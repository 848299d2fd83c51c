/** Has the writers write values that have all that they look at, before any session begins: the engine's own layout of them may change. */
import { GraphWriter } from "./graph-writer.js";
import type { ObjectLayout } from "./guest-objects.js";
import { GuestValues, NotWritten } from "./guest-values.js";
import { EngineAbort, type Instance } from "./instance.js";
import { PlainWriter } from "./plain-writer.js";

/** Has more properties than a shape begins with, and strings of every kind. */
const WIDE = Object.fromEntries(
  Array.from({ length: 40 }, (_, i) => [`name${i}`, `${'\u20ac\u00e9"\n'.slice(i % 5)}${i}`]),
);
const LONG = "x".repeat(3_000);

type Checked = readonly (readonly [source: string, written: string | NotWritten])[];

/** What is to be written of each of these as JSON. */
const PLAIN: Checked = [
  [JSON.stringify(WIDE), JSON.stringify(WIDE)],
  [
    '{b:[true,false,null,-7,0.5,-1e300,3e9,[],{}],a:"1"}',
    '{"b":[true,false,null,-7,0.5,-1e+300,3000000000,[],{}],"a":"1"}',
  ],
  ['["x".repeat(2_000)+"x".repeat(1_000),"\u20ac"+"x".repeat(3_000)]', JSON.stringify([LONG, `\u20ac${LONG}`])],
  ["(()=>{const o={a:1,b:2,c:3};delete o.b;o.d=4;return o})()", '{"a":1,"c":3,"d":4}'],
  ['Object.defineProperty({a:1,[Symbol("b")]:2},"c",{value:3})', '{"a":1}'],
  ["{1:2}", NotWritten.UNKNOWN],
  ["[,1]", NotWritten.UNKNOWN],
  ["Object.assign([1],{a:2})", NotWritten.UNKNOWN],
  ["Object.setPrototypeOf(new Date,Object.prototype)", NotWritten.UNKNOWN],
  ["globalThis", NotWritten.UNKNOWN],
  ["{get a(){return 1}}", NotWritten.NOT_PLAIN],
  ["[undefined]", NotWritten.NOT_PLAIN],
  ["[-0]", NotWritten.NOT_PLAIN],
  ["[NaN]", NotWritten.NOT_PLAIN],
  ["[Infinity]", NotWritten.NOT_PLAIN],
  ["[1n]", NotWritten.NOT_PLAIN],
  ["[1n<<99n]", NotWritten.NOT_PLAIN],
  ["[Symbol()]", NotWritten.NOT_PLAIN],
  ["[()=>1]", NotWritten.NOT_PLAIN],
  ["[new Date]", NotWritten.NOT_PLAIN],
  ["[new Proxy({},{})]", NotWritten.NOT_PLAIN],
  ["[Object.create(null)]", NotWritten.NOT_PLAIN],
  ["(()=>{const o={};return [o,o]})()", NotWritten.NOT_PLAIN],
];

/** What is to be written of each of these as a graph. */
const GRAPHS: Checked = [
  [
    "[new Date(5),new Date(-1e13),new Date(NaN)]",
    '[[1,2,3],["Date","1970-01-01T00:00:00.005Z"],["Date","1653-02-10T06:13:20.000Z"],["Date",""]]',
  ],
  ['new Map([[1,"a"],[{},undefined]])', '[["Map",1,2,3,-1],1,"a",{}]'],
  ["new Set([true,null])", '[["Set",1,2],true,null]'],
  [
    "(()=>{const m=new Map([[1,2],[3,4],[5,6]]);globalThis.it=m.keys();it.next();it.next();m.delete(3);return m})()",
    NotWritten.UNKNOWN,
  ],
  ["(()=>{const o={a:-0};o.o=[o,NaN,1/0,-1/0,-7n];return o})()", '[{"a":-6,"o":1},[0,-3,-4,-5,2],["BigInt","-7"]]'],
  ["Object.assign(Object.create(null),{a:1,b:2})", '[["null","a",1,"b",2],1,2]'],
  ["new(class{b=1})", '[{"b":1},1]'],
  ["new(class{#a=0})", NotWritten.UNKNOWN],
  ["[1n<<99n]", NotWritten.UNKNOWN],
  ["[()=>1]", NotWritten.UNKNOWN],
  ["[Symbol()]", NotWritten.UNKNOWN],
  ["[new Error]", NotWritten.UNKNOWN],
  ["{get a(){return 1}}", NotWritten.UNKNOWN],
];

const LIMIT = 1 << 20;

/** @param evaluate gives an owned `JSValue*` */
export function checkWriters(instance: Instance, layout: ObjectLayout, evaluate: (source: string) => number): void {
  const values = new GuestValues(layout);
  const plain = new PlainWriter(values);
  const graph = new GraphWriter(values);
  const check = (checked: Checked, write: (value: number) => string | NotWritten): void => {
    for (const [source, expected] of checked) {
      const written = write(evaluate(`(${source})`));
      if (written !== expected) throw new EngineAbort(`calibration failed: ${source} is written as ${written}`);
    }
  };
  check(PLAIN, (value) => plain.write(instance, value, false, LIMIT));
  check(GRAPHS, (value) => graph.write(instance, value, LIMIT));
}
