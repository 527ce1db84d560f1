/**
 * Groups of a ternary matrix: which weights share a scale.
 *
 * @module
 */

import type { TernaryMatrix } from "./format.ts";

/** A matrix apart from its content. */
export type Grouping = Omit<TernaryMatrix, "codes" | "scales">;

/** Whether a format whose finest groups are `finest` (0 for one scale a tensor) keeps every scale of groups of this size. */
export function holds(groupSize: number, finest: number): boolean {
  if (finest === 0) return groupSize === 0;
  return groupSize === -1 || groupSize >= 0 && groupSize % finest === 0;
}

/**
 * Number of groups, and so of scales. Throws a `RangeError` that starts with `action` when the group size does not divide the
 * row.
 */
export function groupCount({ rows, columns, groupSize }: Grouping, action: string): number {
  if (groupSize === 0) return 1;
  if (groupSize === -1) return rows;
  if (Number.isInteger(groupSize) && groupSize > 0 && columns % groupSize === 0) return rows * columns / groupSize;
  throw new RangeError(`${action} [${rows},${columns}] in groups of ${groupSize}: wanted 0, -1, or a divisor of ${columns}`);
}

/** Weights of one group; groups follow each other in the row-major order of the matrix. */
export function groupLength({ rows, columns, groupSize }: Grouping): number {
  if (groupSize === 0) return rows * columns;
  return groupSize === -1 ? columns : groupSize;
}

/** The same matrix, given in blocks, in coarser groups. Throws a `RangeError` where the blocks of a group differ in scale. */
export function regroup(matrix: TernaryMatrix, groupSize: number): TernaryMatrix {
  const coarse = { ...matrix, groupSize };
  const action = `Cannot unpack ternary`;
  const merged = new Float32Array(groupCount(coarse, action)).fill(NaN);
  const [fine, length] = [groupLength(matrix), groupLength(coarse)];
  matrix.scales.forEach((scale, block) => {
    const group = Math.floor(block * fine / length);
    if (Number.isNaN(merged[group])) merged[group] = scale;
    if (merged[group] !== scale) {
      throw new RangeError(
        `${action} in groups of ${groupSize}: group ${group} has the scales ${merged[group]} and ${scale}, wanted one`,
      );
    }
  });
  return { ...coarse, scales: merged };
}

/**
 * The same codes with fewer scales: each new one is the mean of the old ones over the codes that are not zero, which changes the weights
 * least in the mean of squares. This loses what the old scales said; how much, only a measurement tells.
 *
 * @param groupSize of the result; its groups need not be multiples of the matrix's
 */
export function mergeScales(matrix: TernaryMatrix, groupSize: number): TernaryMatrix {
  const { codes, scales } = matrix;
  const coarse = { ...matrix, groupSize };
  const sums = new Float64Array(groupCount(coarse, `Cannot merge the scales of`));
  const counts = new Float64Array(sums.length);
  const [fine, length] = [groupLength(matrix), groupLength(coarse)];
  for (let i = 0; i < codes.length; i++) {
    if (codes[i] === 0) continue;
    const group = Math.floor(i / length);
    sums[group] += scales[Math.floor(i / fine)];
    counts[group]++;
  }
  return { ...coarse, scales: Float32Array.from(sums, (sum, group) => counts[group] === 0 ? 0 : sum / counts[group]) };
}

/** The matrix with row r taken from row `order[r]`, scales included. */
export function reorderMatrix(matrix: TernaryMatrix, order: Uint32Array): TernaryMatrix {
  const { codes, scales, groupSize } = matrix;
  return { ...matrix, codes: moveRows(codes, order), scales: groupSize === 0 ? scales : moveRows(scales, order) };
}

function moveRows<T extends Int8Array | Float32Array>(data: T, order: Uint32Array): T {
  const width = data.length / order.length;
  const moved = data.slice() as T;
  order.forEach((source, row) => moved.set(data.subarray(source * width, (source + 1) * width), row * width));
  return moved;
}

/**
 * Codes and scales of float weights that are ternary already: in every group nothing but zero and one magnitude. Undefined where some
 * group has two. Nothing is rounded: codes times scales are the weights again.
 */
export function alreadyTernary(weights: ArrayLike<number>, shape: Grouping): TernaryMatrix | undefined {
  const scales = new Float32Array(groupCount(shape, "Cannot look for ternary weights"));
  const length = groupLength(shape);
  const codes = new Int8Array(weights.length);
  for (let i = 0; i < weights.length; i++) {
    if (Math.fround(weights[i]) === 0) continue;
    const [magnitude, group] = [Math.abs(Math.fround(weights[i])), Math.floor(i / length)]; // they may come in float64
    if (scales[group] === 0) scales[group] = magnitude;
    if (scales[group] !== magnitude) return undefined;
    codes[i] = Math.sign(weights[i]);
  }
  return { codes, scales, ...shape };
}
