/** Loaded before all else by a thread whose clock a test sets (set-clock.ts): `Date` tells the time that it is set to. */
import { workerData } from "node:worker_threads";

const { now } = Date;
const ahead = new Float64Array(workerData.clockAhead);
Date.now = () => now() + ahead[0];
