/**
 * How much memory of the host some work takes, where the device's memory is the host's too, as with a software driver.
 *
 * @module
 */

import { backendInfo } from "../../mod.ts";

/** Bytes of the process that lie in memory now. Linux alone tells. */
export function residentBytes(): number {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))?.[1]);
}

/** Whether this platform tells how much memory a process takes. */
export const tellsMemory = Deno.build.os === "linux";

/** The largest value of `measure` while `work` runs, looked at every few milliseconds, and the result. */
async function watched<T>(work: () => Promise<T>, measure: () => number): Promise<{ result: T; most: number }> {
  let most = measure();
  const timer = setInterval(() => most = Math.max(most, measure()), 20);
  try {
    const result = await work();
    most = Math.max(most, measure());
    return { result, most };
  } finally {
    clearInterval(timer);
  }
}

/** What `work` takes besides what the device holds, at most, above what the process took before. */
export async function hostBytes<T>(work: () => Promise<T>): Promise<{ result: T; bytes: number }> {
  const { statistics } = await backendInfo();
  const besides = () => residentBytes() - statistics.bytesHeld;
  const before = besides();
  const { result, most } = await watched(work, besides);
  return { result, bytes: most - before };
}
