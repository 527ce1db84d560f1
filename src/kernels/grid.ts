/**
 * Grids of one-dimensional work.
 *
 * @module
 */

import type { DeviceLimits, Grid } from "./kernel.ts";

/** Invocations of a workgroup in one-dimensional kernels. */
const lineWorkgroup = 64;

/** Workgroups for `count` invocations, folded into two axes where one would be too long. Shaders recover the index as `y * num_workgroups.x + x`. */
export function lineGrid(count: number, limits: DeviceLimits, { workgroup = lineWorkgroup }: { workgroup?: number } = {}): Grid {
  const workgroups = Math.max(1, Math.ceil(count / workgroup));
  const rows = Math.ceil(workgroups / limits.maxWorkgroups);
  if (rows > limits.maxWorkgroups) {
    throw new RangeError(`Cannot dispatch ${count} invocations: the device allows ${limits.maxWorkgroups}² workgroups`);
  }
  return [Math.ceil(workgroups / rows), rows, 1];
}
