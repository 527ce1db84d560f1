/**
 * What a packed ternary format is, and what it packs. A new format is one file that exports one {@link PackedFormat}.
 *
 * @module
 */

import type { GgmlType } from "../io/ggml_types.ts";

/**
 * A ternary matrix, already quantized: weight [r, c] is `codes[r * columns + c]` times the scale of its group.
 * A row is an output channel.
 */
export interface TernaryMatrix {
  /** -1, 0 or 1 each; row-major. */
  readonly codes: Int8Array;
  /** One per group: one for `groupSize` 0, else those of the first row from left to right, then those of the second, … */
  readonly scales: Float32Array;
  /** Output channels. */
  readonly rows: number;
  /** Inputs of each. */
  readonly columns: number;
  /** 0: the whole tensor is one group; -1: each row is one; n > 0: blocks of n along a row. */
  readonly groupSize: number;
}

/** What packed bytes do not say. */
export interface UnpackOptions {
  /** Output channels. */
  readonly rows: number;
  /** Inputs of each. */
  readonly columns: number;
  /** As in {@link TernaryMatrix}; the format's own blocks by default. Coarser groups must have one scale in all their blocks. */
  readonly groupSize?: number;
}

/** A way to store ternary matrices as bytes. Formats write the codes and scales they are given and never quantize again. */
export interface PackedFormat {
  /** Lower-case name, as in commands and configurations. */
  readonly name: string;
  /** The ggml type that GGUF files call it. */
  readonly ggmlType: GgmlType;
  /** Weights that share one stored scale; a row must be a multiple of it. */
  readonly blockSize: number;
  /** Bytes of one block, its scale included. */
  readonly blockBytes: number;
  /** Storage per weight, scales included. */
  readonly bitsPerWeight: number;
  /** The group sizes it holds exactly (up to the rounding of a scale), in words. */
  readonly granularities: string;
  /** Whether weights trained with this group size keep every scale. */
  holdsExactly(groupSize: number): boolean;
  /**
   * Packed bytes, row after row. Throws a `RangeError` when the matrix is inconsistent, its group size is not held exactly, its
   * columns are no multiple of the block, or a scale does not fit the stored type.
   */
  pack(matrix: TernaryMatrix): Uint8Array<ArrayBuffer>;
  /** The matrix that was packed, with scales as stored. Throws a `RangeError` when the bytes cannot be such a matrix. */
  unpack(bytes: Uint8Array, options: UnpackOptions): TernaryMatrix;
}

/**
 * Number of groups, and so of scales. Throws a `RangeError` that starts with `action` when the group size does not divide the
 * row.
 */
export function groupCount({ rows, columns, groupSize }: Omit<TernaryMatrix, "codes" | "scales">, action: string): number {
  if (groupSize === 0) return 1;
  if (groupSize === -1) return rows;
  if (Number.isInteger(groupSize) && groupSize > 0 && columns % groupSize === 0) return rows * columns / groupSize;
  throw new RangeError(`${action} [${rows},${columns}] in groups of ${groupSize}: wanted 0, -1, or a divisor of ${columns}`);
}

/** Index of the group that weight [row, column] belongs to. */
export function groupIndex(
  { columns, groupSize }: Pick<TernaryMatrix, "columns" | "groupSize">,
  row: number,
  column: number,
): number {
  if (groupSize === 0) return 0;
  return groupSize === -1 ? row : Math.floor((row * columns + column) / groupSize);
}

/** Weights of a matrix as float32, row-major: code times scale. */
export function ternaryWeights(matrix: TernaryMatrix): Float32Array<ArrayBuffer> {
  const { codes, scales, columns } = matrix;
  const weights = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    weights[i] = codes[i] * scales[groupIndex(matrix, Math.floor(i / columns), i % columns)];
  }
  return weights;
}

/** Throws a `RangeError` that names the fault unless `format` can hold the matrix exactly, up to the rounding of its scales. */
export function checkPackable(matrix: TernaryMatrix, format: PackedFormat): void {
  const { codes, scales, rows, columns, groupSize } = matrix;
  const action = `Cannot pack ternary [${rows},${columns}] as ${format.name}`;
  checkColumns(columns, format, action);
  if (!format.holdsExactly(groupSize)) {
    throw new RangeError(`${action}: group size ${groupSize} would lose scales, wanted ${format.granularities}`);
  }
  const groups = groupCount(matrix, `Cannot split ternary`);
  if (codes.length !== rows * columns) throw new RangeError(`${action}: wanted ${rows * columns} codes, got ${codes.length}`);
  if (scales.length !== groups) {
    throw new RangeError(`${action}: wanted ${groups} scales for group size ${groupSize}, got ${scales.length}`);
  }
  for (let i = 0; i < codes.length; i++) {
    if (codes[i] < -1 || codes[i] > 1) throw new RangeError(`${action}: code ${codes[i]} at ${i}, wanted -1, 0 or 1`);
  }
}

/** Throws a `RangeError` unless `bytes` is as long as a packed matrix of this shape and the format holds its groups. */
export function checkPacked(bytes: Uint8Array, { rows, columns, groupSize }: UnpackOptions, format: PackedFormat): void {
  const action = `Cannot unpack ternary [${rows},${columns}] from ${format.name}`;
  checkColumns(columns, format, action);
  if (groupSize !== undefined && !format.holdsExactly(groupSize)) {
    throw new RangeError(`${action}: got group size ${groupSize}, wanted ${format.granularities}`);
  }
  const wanted = rows * columns / format.blockSize * format.blockBytes;
  if (bytes.length !== wanted) throw new RangeError(`${action}: wanted ${wanted} bytes, got ${bytes.length}`);
}

function checkColumns(columns: number, { blockSize }: PackedFormat, action: string): void {
  if (columns % blockSize !== 0) throw new RangeError(`${action}: columns must be a multiple of ${blockSize}, got ${columns}`);
}

/** The same matrix, given in blocks, in coarser groups. Throws a `RangeError` where the blocks of a group differ in scale. */
export function regroup(matrix: TernaryMatrix, groupSize: number): TernaryMatrix {
  const { scales, columns } = matrix;
  const coarse = { ...matrix, groupSize };
  const action = `Cannot unpack ternary`;
  const merged = new Float32Array(groupCount(coarse, action)).fill(NaN);
  for (let block = 0; block < scales.length; block++) {
    const element = block * matrix.groupSize;
    const group = groupIndex(coarse, Math.floor(element / columns), element % columns);
    if (Number.isNaN(merged[group])) merged[group] = scales[block];
    if (merged[group] !== scales[block]) {
      throw new RangeError(
        `${action} in groups of ${groupSize}: group ${group} has the scales ${merged[group]} and ${scales[block]}, wanted one`,
      );
    }
  }
  return { ...coarse, scales: merged };
}
