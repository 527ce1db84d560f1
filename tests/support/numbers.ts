/**
 * Numbers for tests: reproducible noise, and comparisons that say what differs.
 *
 * @module
 */

import { fail } from "../assert.ts";

/** How far two numbers may lie apart: `absolute + relative * |expected|`. */
export interface Tolerance {
  readonly relative?: number;
  readonly absolute?: number;
}

/** What single precision can promise after a handful of operations. */
export const float32Tolerance: Tolerance = { relative: 2e-5, absolute: 2e-5 };

/** Multiples of 2^-12 between `low` and `high`, exact in float32; the same for the same seed. */
export function noise(length: number, { seed = 1, low = -1, high = 1 } = {}): Float32Array<ArrayBuffer> {
  let state = Math.imul(seed, 2_654_435_761) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.round((low + (high - low) * (state / 2 ** 32)) * 4096) / 4096;
  });
}

/** Fails at the first element that differs by more than the tolerance. Infinities and NaN must be the same. */
export function close(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative = 0, absolute = 0, says = "values" }: Tolerance & { readonly says?: string } = {},
): void {
  if (actual.length !== expected.length) fail(`${says}: got ${actual.length} elements, wanted ${expected.length}`);
  for (let i = 0; i < expected.length; i++) {
    const [got, wanted] = [actual[i], expected[i]];
    if (Object.is(got, wanted) || got === wanted) continue;
    const allowed = absolute + relative * Math.abs(wanted);
    if (!Number.isFinite(wanted) || !(Math.abs(got - wanted) <= allowed)) {
      fail(`${says}: element ${i} is ${got}, wanted ${wanted} within ${allowed}`);
    }
  }
}

/** Largest magnitude, or 0. */
export function magnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

/** Derivative of `f` at 0 by five points; exact to about `step`⁴. */
export async function slope(f: (t: number) => Promise<number>, step = 1e-3): Promise<number> {
  const [a, b, c, d] = await Promise.all([-2, -1, 1, 2].map((k) => f(k * step)));
  return (a - 8 * b + 8 * c - d) / (12 * step);
}
