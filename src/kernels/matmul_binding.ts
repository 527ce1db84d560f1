/**
 * From strided views to calls of the matrix-product kernels.
 *
 * @module
 */

import type { KernelBinding, Strided } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";
import { kernelFor, type KernelTarget } from "./kernel.ts";
import { MATMUL_MAX_K, type MatmulCall, matmulClass, matmulKernels, type MatmulOperand } from "./matmul.ts";

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

const batchAxes = ({ shape }: Strided): number => shape.slice(0, -2).filter((length) => length !== 1).length;

function matmulCall([a, b]: readonly Strided[]): MatmulCall {
  const batch = mergeBatch(a, b);
  const [m, k] = a.shape.slice(-2);
  return { m, n: b.shape.at(-1)!, k, batch: batch.lengths, a: operand(a, batch.a), b: operand(b, batch.b) };
}

/** Rows and columns of the tiles of large products. */
const tileSide = 64;
/** Fewest such tiles that fill a graphics processor: a workgroup each, of which a core holds several to hide what loads take. */
const fullTiles = 256;
/** Shortest piece of k: storing a tile and reading it again takes a quarter of the time of its loads then. */
const shortestPiece = 256;
/** Fewest pieces worth a kernel that adds them up. */
const fewestPieces = 4;

/**
 * Into how many pieces k is cut: on graphics processors as many as fill them where there are few tiles and k is long, as in gradients of
 * weights; everywhere as many as kernels can sum.
 */
function pieces(inputs: readonly Strided[], target: KernelTarget): number {
  const call = matmulCall(inputs);
  const { m, n, k } = call;
  const needed = Math.max(1, Math.ceil(k / MATMUL_MAX_K));
  const isBatched = batchAxes(inputs[0]) === maxBatchAxes;
  if (target.texelReads || isBatched || kernelFor(matmulKernels, call, target)?.sharesK) return needed;
  const tiles = sizeOf(call.batch) * Math.ceil(m / tileSide) * Math.ceil(n / tileSide);
  const useful = 2 ** Math.floor(Math.log2(Math.min(fullTiles / tiles, k / shortestPiece)));
  return Math.max(needed, useful < fewestPieces ? 1 : useful);
}

/** How `matmul` runs: views are read in place where one of the last two axes is dense. */
export const matmulBinding: KernelBinding<MatmulCall> = {
  kernels: matmulKernels,
  shapeClass: matmulClass,
  pieces,
  accepts(view) {
    const { shape, strides } = view;
    const dense = strides.slice(-2).includes(1) || shape.slice(-2).includes(1);
    return dense && batchAxes(view) <= maxBatchAxes;
  },
  call: matmulCall,
};
