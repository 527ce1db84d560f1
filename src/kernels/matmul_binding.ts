/**
 * From strided views to calls of the matrix-product kernels.
 *
 * @module
 */

import type { KernelBinding, Strided } from "../core/graph.ts";
import { type MatmulCall, matmulClass, matmulKernels, type MatmulOperand } from "./matmul.ts";

type Triple = readonly [number, number, number];

const maxBatchAxes = 3;

/** Batch axes longer than 1, neighbours merged where both operands can step over them with one stride. */
function mergeBatch(a: Strided, b: Strided): { lengths: Triple; a: Triple; b: Triple } {
  const merged: { length: number; a: number; b: number }[] = [];
  a.shape.slice(0, -2).forEach((length, axis) => {
    if (length === 1) return;
    const next = { length, a: a.strides[axis], b: b.strides[axis] };
    const last = merged.at(-1);
    if (last && last.a === next.a * length && last.b === next.b * length) {
      Object.assign(last, { ...next, length: last.length * length });
    } else merged.push(next);
  });
  while (merged.length < maxBatchAxes) merged.unshift({ length: 1, a: 0, b: 0 });
  const triple = (key: "length" | "a" | "b") => merged.map((axis) => axis[key]) as unknown as Triple;
  return { lengths: triple("length"), a: triple("a"), b: triple("b") };
}

function operand(view: Strided, batch: Triple): MatmulOperand {
  const [rows, columns] = view.shape.slice(-2);
  const [row, col] = view.strides.slice(-2);
  // the stride of an axis of one element never matters: say what is most convenient to the kernels
  return { offset: view.offset, batch, row: rows === 1 && col === 1 ? columns : row, col: columns === 1 && row !== 1 ? 1 : col };
}

/** How `matmul` runs: views are read in place where one of the last two axes is dense. */
export const matmulBinding: KernelBinding<MatmulCall> = {
  kernels: matmulKernels,
  shapeClass: matmulClass,
  accepts({ shape, strides }) {
    const batchAxes = shape.slice(0, -2).filter((length) => length !== 1).length;
    const dense = strides.slice(-2).includes(1) || shape.slice(-2).includes(1);
    return dense && batchAxes <= maxBatchAxes;
  },
  call([a, b]) {
    const batch = mergeBatch(a, b);
    const [m, k] = a.shape.slice(-2);
    return { m, n: b.shape.at(-1)!, k, batch: batch.lengths, a: operand(a, batch.a), b: operand(b, batch.b) };
  },
};
