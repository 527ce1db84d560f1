/**
 * Tables of half-precision rows on a device: embeddings, and heads that multiply by them. Halves travel two to a word, so that no device
 * needs half-precision shaders.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Fused } from "../core/graph.ts";
import { arange, tensor } from "../create.ts";
import { EIGHT, halfGatherBinding, halfMatmulBinding } from "../kernels/packed.ts";
import { MAX_TEXELS } from "../kernels/textures.ts";
import { applyFused, type Tensor, unpackHalf } from "../tensor.ts";

/** A matrix of half-precision numbers, cut into slabs that every device can bind. */
export interface HalfTable {
  /** uint32 `[rows of the slab, columns / 2]` each: two halves a word, the first in the lower bits. All but the last have equal rows. */
  readonly slabs: readonly Tensor[];
  readonly rows: number;
  readonly columns: number;
}

/** Halves of a texel. */
const halvesOfTexel = 8;

/**
 * Puts a half-precision matrix on the device.
 *
 * @param bits row-major bit patterns, `rows` times `columns` of them
 * @param options `maxSlabRows` bounds the rows of a slab; what every device can bind by default
 * @throws RangeError where columns are no multiple of 8, or there are not as many halves as told
 */
export function halfTable(
  bits: Uint16Array<ArrayBuffer>,
  { rows, columns, maxSlabRows = Math.floor(MAX_TEXELS * halvesOfTexel / columns) }: {
    readonly rows: number;
    readonly columns: number;
    readonly maxSlabRows?: number;
  },
): HalfTable {
  if (!fitsTable(columns) || bits.length !== rows * columns) {
    throw atCaller(
      new RangeError(`Cannot hold ${bits.length} halves as a table [${rows},${columns}]: wanted rows of a multiple of ${EIGHT}`),
    );
  }
  const count = Math.ceil(rows / maxSlabRows);
  const slabRows = Math.ceil(rows / count);
  const slabs = Array.from({ length: count }, (_, slab) => {
    const slice = bits.slice(slab * slabRows * columns, (slab + 1) * slabRows * columns);
    return tensor(new Uint32Array(slice.buffer), { shape: [slice.length / columns, columns / 2] });
  });
  return { slabs, rows, columns };
}

/** The float32 matrix. */
function unpacked(words: Tensor): Tensor {
  const [rows, pairs] = words.shape;
  const shifts = arange([1, 1, 2], { dtype: "uint32" }).mul(16);
  return unpackHalf(words.reshape([rows, pairs, 1]).shiftRight(shifts)).reshape([rows, 2 * pairs]);
}

/** Inputs: x, words. */
const halfMatmul: Fused = {
  kind: "fused",
  name: "halfMatmul",
  binding: halfMatmulBinding,
  compose: ([x, words]) => x.matmul(unpacked(words).transpose()),
};

/** Inputs: words, uint32 indices. */
const halfGather: Fused = {
  kind: "fused",
  name: "halfGather",
  binding: halfGatherBinding,
  compose: ([words, indices]) => unpacked(words).gather(indices),
};

/** First row of each slab. */
function starts({ slabs }: HalfTable): number[] {
  return slabs.map((_, slab) => slab * slabs[0].shape[0]);
}

/** Whether {@linkcode halfTable} takes rows of so many columns. */
export function fitsTable(columns: number): boolean {
  return columns % EIGHT === 0;
}

/** A table as float32 `[rows, columns]`, computed on the device. */
export function halfTableValues(table: HalfTable): Tensor {
  return beside(table.slabs.map(unpacked), 0);
}

/**
 * `x` times the transposed table. Differentiable in `x`.
 *
 * @param x float32 `[…, columns]`
 * @returns float32 `[…, rows]`
 * @throws TypeError where the last length of `x` is not the table's number of columns
 */
export function halfTableMatmul(x: Tensor, table: HalfTable): Tensor {
  const { slabs, rows, columns } = table;
  if (x.shape.at(-1) !== columns) {
    throw atCaller(new TypeError(`Cannot multiply ${x} by a table [${rows},${columns}]: wanted a last length of ${columns}`));
  }
  return beside(slabs.map((slab) => applyFused(halfMatmul, [x, slab])), -1);
}

/** Tensors one after another along an axis. */
function beside(parts: readonly Tensor[], axis: 0 | -1): Tensor {
  const total = parts.reduce((sum, { shape }) => sum + shape.at(axis)!, 0);
  let before = 0;
  const padded = parts.map((part) => {
    const length = part.shape.at(axis)!;
    const edge = (size: number) => part.shape.map((_, at, { length: rank }) => at === (axis + rank) % rank ? size : 0);
    const placed = part.pad(edge(before), edge(total - before - length));
    before += length;
    return placed;
  });
  return padded.reduce((a, b) => a.add(b));
}

/**
 * Rows of the table, by uint32 indices; zeros where there is no such row.
 *
 * @returns float32 `[…, columns]`
 */
export function halfTableRows(table: HalfTable, indices: Tensor): Tensor {
  const rows = starts(table).map((start, index) => applyFused(halfGather, [table.slabs[index], indices.sub(start)])); // wraps below
  return rows.reduce((a, b) => a.add(b));
}
