/**
 * Packed products and what they should be.
 *
 * @module
 */

import type { TernaryMatrix } from "../../src/pack/format.ts";
import { equal, ok } from "../assert.ts";

/** A sequence that looks random: a number below `below` for each index. */
const scrambled = (index: number, below: number) => (Math.imul(index + 1, 0x9e3779b1) >>> 8) % below;

/** A ternary matrix; groups of 0 are tensors, of -1 channels. */
export function ternary(rows: number, columns: number, groupSize: number): TernaryMatrix {
  const codes = Int8Array.from({ length: rows * columns }, (_, i) => scrambled(i, 3) - 1);
  const groups = groupSize === 0 ? 1 : groupSize === -1 ? rows : rows * columns / groupSize;
  return {
    codes,
    scales: Float32Array.from({ length: groups }, (_, i) => 0.25 + scrambled(i, 64) / 64),
    rows,
    columns,
    groupSize,
  };
}

/** Numbers from -1 to 1. */
export const inputs = (tokens: number, columns: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: tokens * columns }, (_, i) => scrambled(i + 7, 1001) / 500 - 1);

/** `x` times the transposed weights, in float64. */
export function product(
  x: Float32Array | Float64Array,
  weights: ArrayLike<number>,
  sizes: { tokens: number; rows: number; columns: number },
): number[] {
  const { tokens, rows, columns } = sizes;
  return Array.from({ length: tokens * rows }, (_, i) => {
    const [t, n] = [Math.floor(i / rows), i % rows];
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += x[t * columns + k] * weights[n * columns + k];
    return sum;
  });
}

/** Every element to 1e-4, or less exactly. */
export function close(got: ArrayLike<number>, wanted: readonly number[], says: string, tolerance = 1e-4): void {
  equal(got.length, wanted.length, says);
  wanted.forEach((value, i) => ok(Math.abs(got[i] - value) <= tolerance, `${says}: element ${i} is ${got[i]}, wanted ${value}`));
}
