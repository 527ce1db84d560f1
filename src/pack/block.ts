/**
 * Formats made of blocks along the rows, each with its own half-precision scale: all that llama.cpp has.
 *
 * @module
 */

import type { GgmlType } from "../io/ggml_types.ts";
import {
  checkPackable,
  checkPacked,
  granularity,
  halfScale,
  type PackedFormat,
  type TernaryMatrix,
  type UnpackOptions,
} from "./format.ts";
import { groupLength, regroup } from "./groups.ts";

/** What tells one block format from another. */
export interface BlockLayout {
  /** Name of the format. */
  readonly name: string;
  /** Its ggml type. */
  readonly ggmlType: GgmlType;
  /** Weights of a block. */
  readonly blockSize: number;
  /** Bytes of a block without its scale. */
  readonly codeBytes: number;
  /** Where a block has its scale. */
  readonly scaleAt: "start" | "end";
  /** Writes the block of trits that begins at `codes[start]` to `bytes[at]` and what follows, which are zero. */
  encode(codes: Int8Array, start: number, bytes: Uint8Array, at: number): void;
  /** The inverse of `encode`. What is no trit comes out as what it is, such as 2. */
  decode(bytes: Uint8Array, at: number, codes: Int8Array, start: number): void;
}

const scaleBytes = 2;

/** The format of a layout. Scales are rounded to half precision: a relative error of at most 2^-11 above 6.1e-5. */
export function blockFormat(layout: BlockLayout): PackedFormat {
  const { name, ggmlType, blockSize, codeBytes } = layout;
  const format: PackedFormat = {
    name,
    ggmlType,
    blockSize,
    bitsPerWeight: (codeBytes + scaleBytes) * 8 / blockSize,
    ...granularity(blockSize),
    pack: (matrix) => pack(matrix, layout, format),
    unpack: (bytes, options) => unpack(bytes, options, { layout, format }),
  };
  return format;
}

function pack(matrix: TernaryMatrix, layout: BlockLayout, format: PackedFormat): Uint8Array<ArrayBuffer> {
  checkPackable(matrix, format);
  const { codes, scales } = matrix;
  const { blockSize, codeBytes, scaleAt, name } = layout;
  const length = groupLength(matrix);
  const bytes = new Uint8Array(codes.length / blockSize * (codeBytes + scaleBytes));
  const view = new DataView(bytes.buffer);
  const [scaleOffset, codeOffset] = scaleAt === "start" ? [0, scaleBytes] : [codeBytes, 0];
  for (let start = 0, at = 0; start < codes.length; start += blockSize, at += codeBytes + scaleBytes) {
    const group = Math.floor(start / length);
    view.setFloat16(at + scaleOffset, halfScale(scales[group], { group, format: name }), true);
    layout.encode(codes, start, bytes, at + codeOffset);
  }
  return bytes;
}

function unpack(
  bytes: Uint8Array,
  options: UnpackOptions,
  { layout, format }: { readonly layout: BlockLayout; readonly format: PackedFormat },
): TernaryMatrix {
  const { rows, columns, groupSize } = options;
  const { blockSize, codeBytes, scaleAt, name } = layout;
  const blockBytes = codeBytes + scaleBytes;
  checkPacked(bytes, options, { format, wanted: rows * columns / blockSize * blockBytes });
  const codes = new Int8Array(rows * columns);
  const scales = new Float32Array(codes.length / blockSize);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [scaleOffset, codeOffset] = scaleAt === "start" ? [0, scaleBytes] : [codeBytes, 0];
  for (let block = 0; block < scales.length; block++) {
    scales[block] = view.getFloat16(block * blockBytes + scaleOffset, true);
    if (!Number.isFinite(scales[block])) {
      throw new RangeError(`Cannot unpack from ${name}: the scale of block ${block} is ${scales[block]}`);
    }
    layout.decode(bytes, block * blockBytes + codeOffset, codes, block * blockSize);
  }
  checkTrits(codes, name);
  return regroup({ codes, scales, rows, columns, groupSize: blockSize }, groupSize ?? blockSize);
}

/** Throws a `RangeError` where a decoded code is not -1, 0 or 1. */
export function checkTrits(codes: Int8Array, format: string): void {
  for (let i = 0; i < codes.length; i++) {
    if (codes[i] < -1 || codes[i] > 1) {
      throw new RangeError(`Cannot unpack from ${format}: weight ${i} has code ${codes[i] + 1}, which is not ternary`);
    }
  }
}
