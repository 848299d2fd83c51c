/** Builds the engine, by what is installed only where the server is built; built-engine.ts keeps and reads it. */
import { createHash } from "node:crypto";
import { buildBaseImage } from "./boot.js";
import { type BuiltEngine, guestSources, KERNEL } from "./built-engine.js";
import { compileGuest } from "./guest-bytecode.js";
import { withInlinedCalls } from "./inlined-calls.js";
import type { BaseImage } from "./layout.js";
import { withTrackedStores } from "./tracked-stores.js";
import { deriveModules, type EngineModules, readEnginePackage } from "./wasm-module.js";

/** The engine's modules as sessions are run by them. */
export function buildModules(): EngineModules {
  return deriveModules(readEnginePackage(), withInlinedCalls);
}

export function buildEngine(): BuiltEngine {
  const modules = buildModules();
  const libraries = compileGuest(modules, guestSources());
  const kernel = libraries.get(KERNEL);
  if (kernel === undefined) throw new Error("engine: the kernel is not built");
  libraries.delete(KERNEL);
  const baseImage = buildBaseImage(modules, kernel);
  const { resumeCode } = modules;
  const trackedCode = withTrackedStores(resumeCode);
  return { resumeCode, trackedCode, baseImage, digest: digestOf(resumeCode, baseImage, libraries), libraries };
}

/**
 * What the pages of a session mean depends on the engine's code, on the pages they differ from and where things lie in them, and on
 * the libraries, whose bytecode a session takes when it needs it.
 */
function digestOf(
  resumeCode: Uint8Array,
  { layout, runs }: BaseImage,
  libraries: ReadonlyMap<string, Uint8Array>,
): string {
  const resumeDigest = createHash("sha256").update(resumeCode).digest("hex");
  const digest = createHash("sha256").update(`${resumeDigest}\n${JSON.stringify(layout)}\n`);
  for (const [address, bytes] of runs) digest.update(`page ${address} ${bytes.length}\n`).update(bytes);
  for (const [name, code] of libraries) digest.update(`library ${name} ${code.length}\n`).update(code);
  return digest.digest("hex");
}
