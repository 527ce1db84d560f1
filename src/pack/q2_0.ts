/**
 * llama.cpp's Q2_0: blocks of 64 weights, a half-precision scale and then two bits a weight.
 *
 *     block = d:f16, qs[16]      weight j = d · (((qs[j / 4] >> 2 (j mod 4)) & 3) - 1)
 *
 * Source: `dequantize_row_q2_0` of https://github.com/ggml-org/ggml. Code 3, a weight of 2 d, is never written.
 *
 * @module
 */

import {
  checkPackable,
  checkPacked,
  groupIndex,
  type PackedFormat,
  regroup,
  type TernaryMatrix,
  type UnpackOptions,
} from "./format.ts";

const blockSize = 64;
const scaleBytes = 2;
const blockBytes = scaleBytes + blockSize / 4;

/** Q2_0, at 2.25 bits a weight. Scales are rounded to half precision: a relative error of at most 2^-11 above 6.1e-5. */
export const q2_0: PackedFormat = {
  name: "q2_0",
  ggmlType: "Q2_0",
  blockSize,
  blockBytes,
  bitsPerWeight: blockBytes * 8 / blockSize,
  granularities: "0 (tensor), -1 (channel), or a multiple of 64",
  holdsExactly: (groupSize) => groupSize === -1 || groupSize >= 0 && groupSize % blockSize === 0,
  pack,
  unpack,
};

function pack(matrix: TernaryMatrix): Uint8Array<ArrayBuffer> {
  checkPackable(matrix, q2_0);
  const { codes, scales, columns } = matrix;
  const bytes = new Uint8Array(codes.length / blockSize * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let start = 0, at = 0; start < codes.length; start += blockSize, at += blockBytes) {
    const group = groupIndex(matrix, Math.floor(start / columns), start % columns);
    view.setFloat16(at, halfScale(scales[group], group), true);
    for (let j = 0; j < blockSize; j += 4) {
      const i = start + j;
      bytes[at + scaleBytes + j / 4] = codes[i] + 1 | codes[i + 1] + 1 << 2 | codes[i + 2] + 1 << 4 | codes[i + 3] + 1 << 6;
    }
  }
  return bytes;
}

function halfScale(scale: number, group: number): number {
  const half = Math.f16round(scale);
  if (Number.isFinite(half)) return half;
  throw new RangeError(`Cannot pack as q2_0: the scale of group ${group} is ${scale}, wanted at most 65504 in magnitude`);
}

function unpack(bytes: Uint8Array, options: UnpackOptions): TernaryMatrix {
  checkPacked(bytes, options, q2_0);
  const { rows, columns } = options;
  const codes = new Int8Array(rows * columns);
  const scales = new Float32Array(codes.length / blockSize);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let block = 0; block < scales.length; block++) {
    scales[block] = view.getFloat16(block * blockBytes, true);
    if (!Number.isFinite(scales[block])) {
      throw new RangeError(`Cannot unpack from q2_0: the scale of block ${block} is ${scales[block]}`);
    }
    for (let j = 0; j < blockSize; j++) {
      const code = bytes[block * blockBytes + scaleBytes + (j >> 2)] >> 2 * (j & 3) & 3;
      if (code === 3) {
        throw new RangeError(`Cannot unpack from q2_0: weight ${block * blockSize + j} has code 3, which is not ternary`);
      }
      codes[block * blockSize + j] = code - 1;
    }
  }
  return regroup({ codes, scales, rows, columns, groupSize: blockSize }, options.groupSize ?? blockSize);
}
