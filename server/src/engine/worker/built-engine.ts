/**
 * The engine as sessions are run by it: its module, the base image, the guest's libraries. Building it takes a third of a second, and
 * every process builds the same; so the build of the server writes it into a file, which is read as long as it is of the same code.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { deserialize, serialize } from "node:v8";
import { buildBaseImage } from "./boot.js";
import { compileGuest } from "./guest-bytecode.js";
import type { BaseImage } from "./layout.js";
import type { SharedEngine } from "./messages.js";
import { withTrackedStores } from "./tracked-stores.js";
import { type EngineModules, loadEngineModules } from "./wasm-module.js";

/** The name of the kernel among the sources of the guest. */
const KERNEL = "kernel";
const FILE = new URL("../base-image.bin", import.meta.url);
/** What the kernel's names are compiled to. */
const TOP_LEVEL = new URL("../../compile/top-level.js", import.meta.url);
const FOLDER = new URL("./", import.meta.url);

/** What is in the file. */
interface Kept extends Omit<SharedEngine, "resume"> {
  /** Names all that it was built of. */
  readonly key: string;
}

/** @throws Error when the engine is not the one that this server was written for */
export function loadEngine(): SharedEngine {
  const modules = loadEngineModules();
  const sources = guestSources();
  const { baseImage, digest, libraries, trackedCode } = readKept(keyOf(modules, sources)) ?? build(modules, sources);
  return { resume: modules.resume, trackedCode, baseImage, digest, libraries };
}

/** Builds the engine, and writes the file that `loadEngine` reads. */
export function writeEngine(): void {
  const modules = loadEngineModules();
  const sources = guestSources();
  const kept: Kept = { key: keyOf(modules, sources), ...build(modules, sources) };
  writeFileSync(FILE, serialize(kept));
}

/** Undefined where there is none, or it is of other code. */
function readKept(key: string): Kept | undefined {
  try {
    const kept = deserialize(readFileSync(FILE)) as Kept;
    return kept.key === key ? inOwnBuffers(kept) : undefined;
  } catch {
    return undefined;
  }
}

/** What is read lies in one buffer, at any place: pages are to be seen as words, and each thread to get no more than it is sent. */
function inOwnBuffers({ baseImage, libraries, trackedCode, ...rest }: Kept): Kept {
  const runs = baseImage.runs.map(([address, bytes]) => [address, Uint8Array.from(bytes)] as const);
  const codes = [...libraries].map(([name, code]) => [name, Uint8Array.from(code)] as const);
  return {
    ...rest,
    trackedCode: Uint8Array.from(trackedCode),
    baseImage: { ...baseImage, runs },
    libraries: new Map(codes),
  };
}

function build(modules: EngineModules, sources: ReadonlyMap<string, string>): Omit<Kept, "key"> {
  const libraries = compileGuest(modules, sources);
  const kernel = libraries.get(KERNEL);
  if (kernel === undefined) throw new Error("engine: the kernel is not built");
  libraries.delete(KERNEL);
  const baseImage = buildBaseImage(modules, kernel);
  const trackedCode = withTrackedStores(modules.resumeCode);
  return { trackedCode, baseImage, digest: digestOf(modules, baseImage, libraries), libraries };
}

/** The engine's code, the guest's, and all that takes part in building. */
function keyOf({ resumeDigest }: EngineModules, sources: ReadonlyMap<string, string>): string {
  const key = createHash("sha256").update(resumeDigest);
  for (const [name, text] of sources) key.update(`\n${name} ${text.length}\n`).update(text);
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".js"));
  for (const file of [...files.sort().map((name) => new URL(name, FOLDER)), TOP_LEVEL]) key.update(readFileSync(file));
  return key.digest("hex");
}

/**
 * What the pages of a session mean depends on the engine's code, on the pages they differ from and where things lie in them, and on
 * the libraries, whose bytecode a session takes when it needs it.
 */
function digestOf(
  { resumeDigest }: EngineModules,
  { layout, runs }: BaseImage,
  libraries: ReadonlyMap<string, Uint8Array>,
): string {
  const digest = createHash("sha256").update(`${resumeDigest}\n${JSON.stringify(layout)}\n`);
  for (const [address, bytes] of runs) digest.update(`page ${address} ${bytes.length}\n`).update(bytes);
  for (const [name, code] of libraries) digest.update(`library ${name} ${code.length}\n`).update(code);
  return digest.digest("hex");
}

/** The kernel and its libraries, by name, in an order that is always the same. */
function guestSources(): Map<string, string> {
  const folder = new URL("../../guest/", import.meta.url);
  const sources = new Map([[KERNEL, readFileSync(new URL("kernel.js", folder), "utf8")]]);
  const libraries = new URL("library/", folder);
  for (const file of readdirSync(libraries).sort()) {
    sources.set(basename(file, ".js"), readFileSync(new URL(file, libraries), "utf8"));
  }
  return sources;
}
