/** Runs other programs and tells how they ended. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

export interface Finished {
  /** -1 if it could not be started. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param env of the program, beside that of this process */
export async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  try {
    return { exitCode: 0, ...(await promisify(execFile)(command, args, { env: { ...process.env, ...env } })) };
  } catch (error) {
    const { code, stdout = "", stderr = "" } = error as { code?: unknown; stdout?: string; stderr?: string };
    return { exitCode: typeof code === "number" ? code : -1, stdout, stderr };
  }
}
