/**
 * bitnet.cpp's I2_S as x86 processors read it: two bits a weight, and one float32 scale behind the whole tensor.
 *
 *     tensor = codes[rows · columns / 4], scale:f32, 28 bytes of padding
 *     of each 128 weights, 32 g + p lies in byte p, bits 6 - 2 g
 *
 * ARM processors and a switch of the compiler have other orders under the same type id, and a file does not say which it has.
 *
 * @module
 */

import { checkTrits } from "./block.ts";
import { checkPackable, checkPacked, checkScale, granularity, type PackedFormat } from "./format.ts";
import { fourStrided } from "./two_bits.ts";

const blockSize = 128;
const blockBytes = 32;
/** The scale and its padding. */
const tailBytes = 32;
const coding = fourStrided(blockSize, [6, 4, 2, 0]);

/** I2_S, at 2 bits a weight and one scale a tensor. */
export const i2_s: PackedFormat = {
  ...{ name: "i2_s", ggmlType: "I2_S", blockSize, bitsPerWeight: 2 },
  ...granularity(0),
  pack(matrix) {
    checkPackable(matrix, i2_s);
    const { codes, scales: [scale] } = matrix;
    checkScale(scale, { action: "Cannot pack as i2_s", place: "the tensor", stored: scale });
    const codeBytes = codes.length / 4;
    const bytes = new Uint8Array(codeBytes + tailBytes);
    for (let start = 0; start < codes.length; start += blockSize) coding.encode(codes, start, bytes, start / 4);
    new DataView(bytes.buffer).setFloat32(codeBytes, scale, true);
    return bytes;
  },
  unpack(bytes, options) {
    const { rows, columns } = options;
    const codeBytes = rows * columns / 4;
    checkPacked(bytes, options, { format: i2_s, wanted: codeBytes + tailBytes });
    const codes = new Int8Array(rows * columns);
    for (let at = 0; at < codeBytes; at += blockBytes) coding.decode(bytes, at, codes, 4 * at);
    checkTrits(codes, "i2_s");
    const scale = new DataView(bytes.buffer, bytes.byteOffset).getFloat32(codeBytes, true);
    checkScale(scale, { action: "Cannot unpack from i2_s", place: "the tensor", stored: scale });
    return { codes, scales: Float32Array.of(scale), rows, columns, groupSize: 0 };
  },
};
