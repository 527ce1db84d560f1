/**
 * Tables of half-precision rows on a device: embeddings, and heads that multiply by them. Halves travel two to a word, so that no device
 * needs half-precision shaders.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Attributes, Fused } from "../core/graph.ts";
import { arange, tensor } from "../create.ts";
import { EIGHT, halfGatherBinding, halfMatmulBinding, PANEL_ROWS } from "../kernels/packed.ts";
import { MAX_TEXELS } from "../kernels/textures.ts";
import { unpackHalf } from "../bits.ts";
import { applyFused, type Tensor } from "../tensor.ts";

/** A matrix of half-precision numbers, cut into slabs that every device can bind. */
export interface HalfTable {
  /**
   * uint32 `[panels, columns / 8, 64, 4]` each: a panel is 64 rows, of which eight columns at a time lie side by side, two halves a word,
   * the first in the lower bits. All but the last have equal rows.
   */
  readonly slabs: readonly Tensor[];
  readonly rows: number;
  readonly columns: number;
  /** Rows of each slab but the last. */
  readonly slabRows: number;
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
  { rows, columns, maxSlabRows = Math.floor(MAX_TEXELS * halvesOfTexel / columns / PANEL_ROWS) * PANEL_ROWS }: {
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
  const slabs = Array.from(
    { length: count },
    (_, slab) => inPanels(bits.subarray(slab * slabRows * columns, (slab + 1) * slabRows * columns), columns),
  );
  return { slabs, rows, columns, slabRows };
}

/** Rows in panels, as kernels read them one after another; what is missing in the last panel is zeros. */
function inPanels(bits: Uint16Array<ArrayBuffer>, columns: number): Tensor {
  const rows = bits.length / columns;
  const [panels, eights] = [Math.ceil(rows / PANEL_ROWS), columns / EIGHT];
  const placed = new Uint16Array(panels * PANEL_ROWS * columns);
  for (let row = 0; row < rows; row++) {
    let to = (Math.floor(row / PANEL_ROWS) * eights * PANEL_ROWS + row % PANEL_ROWS) * EIGHT;
    for (let from = row * columns; from < (row + 1) * columns; from += EIGHT, to += PANEL_ROWS * EIGHT) {
      for (let i = 0; i < EIGHT; i++) placed[to + i] = bits[from + i];
    }
  }
  return tensor(new Uint32Array(placed.buffer), { shape: [panels, eights, PANEL_ROWS, halvesOfTexel / 2], copy: false });
}

/** The float32 matrix. */
function unpacked(words: Tensor, rows: number): Tensor {
  const [panels, eights] = words.shape;
  const shifts = arange([1, 1, 2], { dtype: "uint32" }).mul(16);
  const inOrder = words.transpose([0, 2, 1, 3]).reshape([panels * PANEL_ROWS, eights * EIGHT / 2, 1]);
  return unpackHalf(inOrder.shiftRight(shifts)).reshape([panels * PANEL_ROWS, eights * EIGHT]).slice([0], [rows]);
}

/** Inputs: x, words. Attribute: rows. */
const halfMatmul: Fused = {
  kind: "fused",
  name: "halfMatmul",
  binding: halfMatmulBinding,
  compose: ([x, words], { rows }: Attributes) => x.matmul(unpacked(words, rows as number).transpose()),
};

/** Inputs: words, uint32 indices. Attribute: rows. */
const halfGather: Fused = {
  kind: "fused",
  name: "halfGather",
  binding: halfGatherBinding,
  compose: ([words, indices], { rows }: Attributes) => unpacked(words, rows as number).gather(indices),
};

/** Each slab, its first row and the number of its rows. */
function slabsOf(
  { slabs, rows, slabRows }: HalfTable,
): { readonly words: Tensor; readonly start: number; readonly rows: number }[] {
  return slabs.map((words, slab) => {
    const start = slab * slabRows;
    return { words, start, rows: Math.min(slabRows, rows - start) };
  });
}

/** Whether {@linkcode halfTable} takes rows of so many columns. */
export function fitsTable(columns: number): boolean {
  return columns % EIGHT === 0;
}

/** A table as float32 `[rows, columns]`, computed on the device. */
export function halfTableValues(table: HalfTable): Tensor {
  return beside(slabsOf(table).map(({ words, rows }) => unpacked(words, rows)), 0);
}

/**
 * `x` times the transposed table. Differentiable in `x`.
 *
 * @param x float32 `[…, columns]`
 * @returns float32 `[…, rows]`
 * @throws TypeError where the last length of `x` is not the table's number of columns
 */
export function halfTableMatmul(x: Tensor, table: HalfTable): Tensor {
  const { rows, columns } = table;
  if (x.shape.at(-1) !== columns) {
    throw atCaller(new TypeError(`Cannot multiply ${x} by a table [${rows},${columns}]: wanted a last length of ${columns}`));
  }
  return beside(slabsOf(table).map(({ words, rows }) => applyFused(halfMatmul, [x, words], { rows })), -1);
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
  return slabsOf(table)
    .map(({ words, start, rows }) => applyFused(halfGather, [words, indices.sub(start)], { rows })) // wraps below
    .reduce((a, b) => a.add(b));
}
