/**
 * Ternary matrices for tests.
 *
 * @module
 */

import fc from "fast-check";
import type { TernaryMatrix } from "../../src/pack/format.ts";
import { groupCount, type Grouping } from "../../src/pack/groups.ts";

/** A matrix of this grouping: each digit of `code` and each scale is asked for by its index. */
export function matrixOf(
  grouping: Grouping,
  { code, scale }: { code: (index: number) => number; scale: (group: number) => number },
): TernaryMatrix {
  const { rows, columns } = grouping;
  return {
    codes: Int8Array.from({ length: rows * columns }, (_, index) => code(index)),
    scales: Float32Array.from({ length: groupCount(grouping, "Cannot test") }, (_, group) => scale(group)),
    ...grouping,
  };
}

/** Any matrix of a shape that `shapes` gives: random trits, finite scales. */
export function ternaryMatrices(shapes: fc.Arbitrary<Grouping>): fc.Arbitrary<TernaryMatrix> {
  return fc.tuple(
    shapes,
    fc.infiniteStream(fc.integer({ min: -1, max: 1 })),
    fc.infiniteStream(fc.float({ min: -60000, max: 60000, noNaN: true })),
  ).map(([grouping, codes, scales]) =>
    matrixOf(grouping, { code: () => codes.next().value!, scale: () => scales.next().value! })
  );
}

/** Pseudorandom numbers in [0, 1), the same for the same seed. */
export function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
