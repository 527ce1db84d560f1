/**
 * The layout of Hugging Face's `bitnet` checkpoints: two bits a weight, four rows a byte, and one scale a tensor.
 *
 *     codes[rows / 4, columns], scale:f32      row i · rows / 4 + r lies in bits 2 i of codes[r]
 *
 * In a checkpoint the codes are `NAME.weight` of dtype U8, the scale is `NAME.weight_scale` of shape [1].
 *
 * @module
 */

import { checkTrits } from "./block.ts";
import { checkPackable, checkPacked, checkScale, granularity, type PackedFormat } from "./format.ts";

const rowsPerByte = 4;
const scaleBytes = 4;

function checkRows(rows: number, action: string): void {
  if (rows % rowsPerByte !== 0) throw new RangeError(`${action}: rows must be a multiple of ${rowsPerByte}, got ${rows}`);
}

/** Hugging Face's bitnet, at 2 bits a weight and one scale a tensor. */
export const bitnet: PackedFormat = {
  ...{ name: "bitnet", blockSize: 1, rowMultiple: rowsPerByte, bitsPerWeight: 2 },
  ...granularity(0),
  pack(matrix) {
    const { codes, scales: [scale], rows, columns } = matrix;
    checkPackable(matrix, bitnet);
    checkRows(rows, `Cannot pack ternary [${rows},${columns}] as bitnet`);
    checkScale(scale, { action: "Cannot pack as bitnet", place: "the tensor", stored: scale });
    const quarter = codes.length / rowsPerByte;
    const bytes = new Uint8Array(quarter + scaleBytes);
    for (let part = 0; part < rowsPerByte; part++) {
      for (let r = 0; r < quarter; r++) bytes[r] |= codes[part * quarter + r] + 1 << 2 * part;
    }
    new DataView(bytes.buffer).setFloat32(quarter, scale, true);
    return bytes;
  },
  unpack(bytes, options) {
    const { rows, columns } = options;
    checkRows(rows, `Cannot unpack ternary [${rows},${columns}] from bitnet`);
    const quarter = rows * columns / rowsPerByte;
    checkPacked(bytes, options, { format: bitnet, wanted: quarter + scaleBytes });
    const codes = new Int8Array(rows * columns);
    for (let part = 0; part < rowsPerByte; part++) {
      for (let r = 0; r < quarter; r++) codes[part * quarter + r] = (bytes[r] >> 2 * part & 3) - 1;
    }
    checkTrits(codes, "bitnet");
    const scale = new DataView(bytes.buffer, bytes.byteOffset).getFloat32(quarter, true);
    checkScale(scale, { action: "Cannot unpack from bitnet", place: "the tensor", stored: scale });
    return { codes, scales: Float32Array.of(scale), rows, columns, groupSize: 0 };
  },
};
