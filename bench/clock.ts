/**
 * Clocks: CPU time, which others on the machine hardly change, and which of the clocks counts.
 *
 * @module
 */

import process from "node:process";

/** Milliseconds of one repetition. */
export interface Cost {
  /** Of all threads of the process, or of the one that runs JavaScript where only the host is measured. */
  readonly cpu: number;
  /** Until the device is done, or until all is queued where only the host is measured. */
  readonly wall: number;
}

/** Which of the two counts: a software driver computes in the process, and others on the machine do not change that; a GPU does not. */
export async function decisiveClock(): Promise<keyof Cost> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  return !adapter || adapter.info.isFallbackAdapter ? "cpu" : "wall";
}

/** CPU time of the process in milliseconds, all threads of the driver included. */
export function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage(); // microseconds
  return (user + system) / 1000;
}

/** CPU time of the thread that runs JavaScript, in milliseconds; wall time where the system (other than Linux) does not say. */
export function scriptMilliseconds(): number {
  try {
    return Number(Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ")[0]) / 1e6;
  } catch {
    return performance.now();
  }
}
