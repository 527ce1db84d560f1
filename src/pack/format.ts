/**
 * What a packed ternary format is, and what it packs. A new format is one file that exports one {@link PackedFormat}.
 *
 * @module
 */

import type { GgmlType } from "../io/ggml_types.ts";
import { groupCount, groupLength, holds } from "./groups.ts";

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
  /** As in {@link TernaryMatrix}; the format's own groups by default. Coarser groups must have one scale in all their blocks. */
  readonly groupSize?: number;
}

/** A way to store ternary matrices as bytes. Formats write the codes and scales they are given and never quantize again. */
export interface PackedFormat {
  /** Lower-case name, as in commands and configurations. */
  readonly name: string;
  /** The ggml type that GGUF files call it; absent where the format lives in safetensors. */
  readonly ggmlType?: GgmlType;
  /** Weights of a row that are stored together; a row must be a multiple of it. */
  readonly blockSize: number;
  /** A matrix must have a multiple of so many rows; 1 if absent. */
  readonly rowMultiple?: number;
  /** Storage per weight, the scales of blocks included. A scale of a whole tensor, or scales stored apart, are not. */
  readonly bitsPerWeight: number;
  /** The finest groups that it holds: 0 for one scale a tensor, else the number of weights along a row. */
  readonly finestGroup: number;
  /** The group sizes it holds exactly (up to the rounding of a scale), in words. */
  readonly granularities: string;
  /** Whether weights trained with this group size keep every scale. */
  holdsExactly(groupSize: number): boolean;
  /**
   * Packed bytes, row after row. Throws a `RangeError` when the matrix is inconsistent, its group size is not held exactly, it is no
   * whole number of blocks, or a scale does not fit the stored type.
   */
  pack(matrix: TernaryMatrix): Uint8Array<ArrayBuffer>;
  /** The matrix that was packed, with scales as stored. Throws a `RangeError` when the bytes cannot be such a matrix. */
  unpack(bytes: Uint8Array, options: UnpackOptions): TernaryMatrix;
}

/** The three fields of a {@link PackedFormat} that say which groups it holds, from the finest. */
export function granularity(finestGroup: number): Pick<PackedFormat, "finestGroup" | "granularities" | "holdsExactly"> {
  return {
    finestGroup,
    granularities: finestGroup === 0
      ? "0 (tensor)"
      : `0 (tensor), -1 (channel), or a ${finestGroup === 1 ? "divisor of the row" : `multiple of ${finestGroup}`}`,
    holdsExactly: (groupSize) => holds(groupSize, finestGroup),
  };
}

/** Weights of a matrix as float32, row-major: code times scale. */
export function ternaryWeights(matrix: TernaryMatrix): Float32Array<ArrayBuffer> {
  const { codes, scales } = matrix;
  const length = groupLength(matrix);
  const weights = new Float32Array(codes.length);
  for (let group = 0, i = 0; group < scales.length; group++) {
    for (const end = i + length; i < end; i++) weights[i] = codes[i] * scales[group];
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

/** Throws a `RangeError` unless there are `wanted` bytes, the row is in whole blocks and the format holds the groups. */
export function checkPacked(
  bytes: Uint8Array,
  { rows, columns, groupSize }: UnpackOptions,
  { format, wanted }: { readonly format: PackedFormat; readonly wanted: number },
): void {
  const action = `Cannot unpack ternary [${rows},${columns}] from ${format.name}`;
  checkColumns(columns, format, action);
  if (groupSize !== undefined && !format.holdsExactly(groupSize)) {
    throw new RangeError(`${action}: got group size ${groupSize}, wanted ${format.granularities}`);
  }
  if (bytes.length !== wanted) throw new RangeError(`${action}: wanted ${wanted} bytes, got ${bytes.length}`);
}

function checkColumns(columns: number, { blockSize }: PackedFormat, action: string): void {
  if (columns % blockSize !== 0) throw new RangeError(`${action}: columns must be a multiple of ${blockSize}, got ${columns}`);
}

/** Throws a `RangeError` for a scale that is not finite as stored. `place` is such as "group 3". */
export function checkScale(scale: number, { action, place, stored }: { action: string; place: string; stored: number }): void {
  if (!Number.isFinite(stored)) throw new RangeError(`${action}: the scale of ${place} is ${scale}, wanted a finite one`);
}

/** A half-precision scale as it is stored. Throws a `RangeError` where it is too large, or no number. */
export function halfScale(scale: number, { group, format }: { readonly group: number; readonly format: string }): number {
  const half = Math.f16round(scale);
  if (Number.isFinite(half)) return half;
  throw new RangeError(`Cannot pack as ${format}: the scale of group ${group} is ${scale}, wanted at most 65504 in magnitude`);
}
