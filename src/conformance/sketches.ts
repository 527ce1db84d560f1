/**
 * What is determined of an estimate by Hutch++, and what is rounding.
 *
 * @module
 */

import { arange } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import type { Case } from "./case.ts";

/** Trace of a matrix. */
export function exactOf(matrix: Tensor): Tensor {
  const [rows] = matrix.shape;
  return arange([rows, 1], { axis: 0 }).equal(arange([1, rows])).where(matrix, 0).sum();
}

/**
 * Whether a part of the basis was arbitrary where the case was recorded: the image of the sketch has fewer dimensions than the sketch has
 * columns, and the columns are too few to span everything.
 */
export function tailIsArbitrary(recorded: Case): boolean {
  const [rows, columns] = recorded.input("S").shape;
  if (columns >= rows) return false;
  const [matrix, sketch] = [recorded.values("H"), recorded.values("S")];
  const image = Array.from({ length: columns }, (_, column) =>
    Array.from({ length: rows }, (_, row) => {
      let sum = 0;
      for (let at = 0; at < rows; at++) sum += matrix[row * rows + at] * sketch[at * columns + column];
      return sum;
    }));
  return rankOf(image) < columns;
}

/** A remainder of a vector below this share of it is rounding: recorded matrices are rounded to float32. */
const dependence = 1e-5;

/** Dimensions that vectors span, by Gram-Schmidt, each cleaned twice. */
function rankOf(vectors: readonly (readonly number[])[]): number {
  const basis: number[][] = [];
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * b[at], 0);
  for (const vector of vectors) {
    let rest = [...vector];
    for (let pass = 0; pass < 2; pass++) {
      for (const direction of basis) {
        const share = dot(rest, direction);
        rest = rest.map((value, at) => value - share * direction[at]);
      }
    }
    const length = Math.sqrt(dot(rest, rest));
    if (length > dependence * Math.sqrt(dot(vector, vector))) basis.push(rest.map((value) => value / length));
  }
  return basis.length;
}
