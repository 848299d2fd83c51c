/**
 * `node bench/growth.mjs`: how the cost of a Call grows with what it carries, with what lives in its session, with the number of
 * sessions, and with what the guest computes. Writes bench/growth.md. `--quick` takes less than a minute in place of some six.
 */
import { parseArgs } from "node:util";
import { LivescopeClient } from "./client.mjs";
import { measureGuestCode } from "./growth/guest-code.mjs";
import { measureLiveData } from "./growth/live-data.mjs";
import { measurePayloads } from "./growth/payloads.mjs";
import { measureSessionCounts } from "./growth/session-counts.mjs";
import { ServerProcess, startSpinners } from "./processes.mjs";
import { Report } from "./report.mjs";
import { warmUp } from "./workloads.mjs";

const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });

/**
 * @typedef {object} Plan
 * @property {number} rounds
 * @property {number} milliseconds of one block
 * @property {number} warmUpCalls before anything is measured
 * @property {number} largeCalls the fewest with payloads in one block, whatever time they take
 * @property {number} mostSessions that live at once
 */

/** @type {Plan} */
const plan = flags.quick
  ? { rounds: 5, milliseconds: 50, warmUpCalls: 1_000, largeCalls: 5, mostSessions: 1_000 }
  : { rounds: 30, milliseconds: 120, warmUpCalls: 8_000, largeCalls: 20, mostSessions: 10_000 };

const report = new Report();
const stopSpinners = startSpinners();
try {
  const server = await ServerProcess.start("livescope");
  const client = new LivescopeClient(server.addresses);
  await warmUp(client, plan);
  for (const measure of [measurePayloads, measureLiveData, measureSessionCounts, measureGuestCode]) {
    await measure({ client, pid: server.pid, plan, report });
  }
  await client.close();
  await server.stop();
  report.goals();
  report.write(
    {
      plan: `${flags.quick ? "quick" : "full"} run, ${plan.rounds} rounds of ${plan.milliseconds} ms blocks`,
      spinners: stopSpinners !== undefined,
    },
    "growth.md",
    "node bench/growth.mjs",
  );
} finally {
  stopSpinners?.();
}
