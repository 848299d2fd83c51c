/**
 * The engine as sessions are run by it: its module, the base image, the guest's libraries. Building it takes seconds, and the same comes of
 * it everywhere; so the build of the server writes it into a file, which every process reads (build-engine.ts builds it).
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { deserialize, serialize } from "node:v8";
import type { SharedEngine } from "./messages.js";
import { readEnginePackage } from "./wasm-module.js";

/** The name of the kernel among the sources of the guest. */
export const KERNEL = "kernel";
const FILE = new URL("../base-image.bin", import.meta.url);
/** What the kernel's names are compiled to. */
const TOP_LEVEL = new URL("../../compile/top-level.js", import.meta.url);
const FOLDER = new URL("./", import.meta.url);
/** Pins the versions of what builds the engine, which need not be there where it is run. */
const PACKAGE = new URL("../../../package.json", import.meta.url);
const HASH_BYTES = 32;

/** An engine in the form in which it can be written into a file. */
export interface BuiltEngine extends Omit<SharedEngine, "resume"> {
  readonly resumeCode: Uint8Array<ArrayBuffer>;
}

/** What is in the file, behind its SHA-256. */
interface Kept extends BuiltEngine {
  /** Names all that it was built of. */
  readonly key: string;
}

/** Reads the engine, or builds it where the file is damaged or of other code. @throws Error where what builds it is not installed */
export async function loadEngine(): Promise<SharedEngine> {
  const { resumeCode, trackedCode, baseImage, digest, libraries } = readKept(keyOf(guestSources())) ?? (await build());
  return { resume: new WebAssembly.Module(resumeCode), trackedCode, baseImage, digest, libraries };
}

async function build(): Promise<BuiltEngine> {
  let builder: typeof import("./build-engine.js");
  try {
    builder = await import("./build-engine.js");
  } catch (cause) {
    const message = `engine: ${FILE.pathname} is missing, damaged or of other code; run \`npm ci\` and \`npm run build\``;
    throw new Error(message, { cause });
  }
  return builder.buildEngine();
}

/** True where the file need not be written again: it is of this code, and later than the versions of what builds it were pinned. */
export function isKept(): boolean {
  return readKept(keyOf(guestSources())) !== undefined && statSync(FILE).mtimeMs > statSync(PACKAGE).mtimeMs;
}

/** Writes the file that `loadEngine` reads. */
export function keepEngine(engine: BuiltEngine): void {
  const kept: Kept = { key: keyOf(guestSources()), ...engine };
  const bytes = serialize(kept);
  writeFileSync(FILE, Buffer.concat([sha256(bytes), bytes]));
}

/** Undefined where there is none, or it is damaged, or of other code. */
function readKept(key: string): BuiltEngine | undefined {
  try {
    const file = readFileSync(FILE);
    const bytes = file.subarray(HASH_BYTES);
    if (!sha256(bytes).equals(file.subarray(0, HASH_BYTES))) return undefined;
    const kept = deserialize(bytes) as Kept;
    return kept.key === key ? inOwnBuffers(kept) : undefined;
  } catch {
    return undefined;
  }
}

/** What is read lies in one buffer, at any place: pages are to be seen as words, and each thread to get no more than it is sent. */
function inOwnBuffers({ baseImage, libraries, trackedCode, ...rest }: BuiltEngine): BuiltEngine {
  const runs = baseImage.runs.map(([address, bytes]) => [address, Uint8Array.from(bytes)] as const);
  const codes = [...libraries].map(([name, code]) => [name, Uint8Array.from(code)] as const);
  return {
    ...rest,
    trackedCode: Uint8Array.from(trackedCode),
    baseImage: { ...baseImage, runs },
    libraries: new Map(codes),
  };
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** The engine's code, the guest's, and all that takes part in building. */
function keyOf(sources: ReadonlyMap<string, string>): string {
  const key = createHash("sha256").update(readEnginePackage().code);
  for (const [name, text] of sources) key.update(`\n${name} ${text.length}\n`).update(text);
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".js"));
  for (const file of [...files.sort().map((name) => new URL(name, FOLDER)), TOP_LEVEL]) key.update(readFileSync(file));
  return key.digest("hex");
}

/** The kernel and its libraries, by name, in an order that is always the same. */
export function guestSources(): Map<string, string> {
  const folder = new URL("../../guest/", import.meta.url);
  const sources = new Map([[KERNEL, readFileSync(new URL("kernel.js", folder), "utf8")]]);
  const libraries = new URL("library/", folder);
  for (const file of readdirSync(libraries).sort()) {
    sources.set(basename(file, ".js"), readFileSync(new URL(file, libraries), "utf8"));
  }
  return sources;
}
