/** What arguments and results cost by their size: text and bytes, there and back. */
import { randomBytes } from "node:crypto";
import { bytes, json } from "../client.mjs";
import { interleave } from "../measure.mjs";
import { columns, noiseOf, rowOf } from "../report.mjs";
import { deleteAll, echoes, sessionWith } from "../workloads.mjs";

const KIBIBYTE = 1024;
/** At most, as a block of the largest takes seconds. */
const LARGE_ROUNDS = 12;
/** The last is the most that a value may have. `most`: rounds. */
const SIZES = [
  { label: "1 KiB", size: KIBIBYTE },
  { label: "100 KiB", size: 100 * KIBIBYTE },
  { label: "3 MiB", size: 3 * KIBIBYTE * KIBIBYTE, most: LARGE_ROUNDS },
];
const SAME = "var same = (v) => v; same";
const LABELS = {
  echoA: "echo of as many bytes",
  "unary text": "Call with text, unary RPC",
  "unary bytes": "Call with bytes, unary RPC",
  "sdk text": "call of the SDK with text",
  "sdk bytes": "call of the SDK with bytes",
};

export async function measurePayloads({ client, pid, plan, report }) {
  const { rounds, milliseconds, largeCalls } = plan;
  report.section(
    "Size of arguments and results",
    "A Call of `(v) => v`, ENCODING_FULL, one in flight: by handle over unary RPC, by path with the SDK, which uses Connect. Bytes are",
    "random. Text is a string whose JSON text has the size, all of it ASCII; by unary RPC the client neither parses nor writes it, the",
    "SDK does both. The echo carries as many bytes there and back, so here the ratios are to it and not to an empty one. Text and bytes",
    `have a session each. A block has at least ${largeCalls} calls, whatever time they take, and 3 MiB have ${Math.min(rounds, LARGE_ROUNDS)} rounds.`,
  );
  for (const { label, size, most = rounds } of SIZES) {
    const text = randomBytes(size)
      .toString("base64")
      .slice(0, size - 2);
    const buffer = randomBytes(size);
    const sessions = { text: await sessionWith(client, SAME), bytes: await sessionWith(client, SAME) };
    const targets = [
      ...echoes(client, pid, buffer).map(({ run, ...target }) => ({ ...target, run: carries(buffer, run) })),
      ...unaryTargets(client, pid, sessions, text, buffer),
      ...(await sdkTargets(client, pid, sessions, text, buffer)),
    ];
    const block = { inFlight: 1, milliseconds, operations: largeCalls };
    const measured = await interleave(targets, { ...block, rounds: Math.min(rounds, most) });
    await deleteAll(client, Object.values(sessions));
    report.note(`${label}:`);
    report.table([
      columns("there and back"),
      ...Object.entries(LABELS).map(([name, what]) => rowOf(measured, name, what)),
    ]);
    if (label === "3 MiB") {
      const noise = noiseOf(measured);
      for (const [name, how] of Object.entries({ "unary bytes": "unary", "sdk bytes": "SDK" })) {
        const { median } = measured.ratio(name, "echoA");
        report.goal(`3 MiB bytes in and out, p50 to echoing them, ${how}`, median, "at most", 1.5, { noise });
      }
    }
  }
}

function unaryTargets(client, pid, sessions, text, buffer) {
  const call = ({ sessionId, handleId }, value) => client.callWith(sessionId, handleId, value);
  const encoded = JSON.stringify(text);
  const textValue = json(encoded);
  const bytesValue = bytes(buffer);
  return [
    { name: "unary text", pid, run: carries(encoded, async () => (await call(sessions.text, textValue)).json) },
    { name: "unary bytes", pid, run: carries(buffer, async () => (await call(sessions.bytes, bytesValue)).bytes) },
  ];
}

async function sdkTargets(client, pid, sessions, text, buffer) {
  const sdk = await client.sdk();
  const call = ({ sessionId }, value) => {
    const attached = sdk.attach(sessionId);
    return carries(value, () => attached.call("same", [value]));
  };
  return [
    { name: "sdk text", pid, run: call(sessions.text, text) },
    { name: "sdk bytes", pid, run: call(sessions.bytes, buffer) },
  ];
}

/**
 * What does not come back whole was not carried: a value that is too large comes as a handle. All of it is compared the first time, which
 * is in the round that warms up, and its length from then on.
 */
function carries(sent, run) {
  let compared = false;
  return async () => {
    const received = await run();
    const same = received?.length === sent.length && (compared || Buffer.from(received).equals(Buffer.from(sent)));
    if (!same) throw new Error(`${sent.length} bytes came back as ${received?.length}, or as others`);
    compared = true;
  };
}
