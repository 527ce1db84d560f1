/**
 * Our own packing, as small as whole bytes allow: five trits a byte, and the scales apart, for groups of any size.
 *
 *     codes[rows, ⌈columns / 5⌉], scales:f16[groups]      byte b of a row = Σ (trit 5 b + j, plus one) · 3^j, j from 0 to 4
 *
 * Trits behind the end of a row are zeros. Bytes from 243 on do not occur.
 *
 * @module
 */

import { float16ToFloat32, float32ToFloat16 } from "../io/float16.ts";
import { bytesOf, joinBytes, viewAs } from "../io/bytes.ts";
import {
  checkPackable,
  checkPacked,
  checkScale,
  granularity,
  halfScale,
  type PackedFormat,
  type UnpackOptions,
} from "./format.ts";
import { groupCount } from "./groups.ts";

const tritsPerByte = 5;
const values = 3 ** tritsPerByte;
const zeros = (values - 1) / 2;

/** The five trits of every byte that occurs. */
const trits = Int8Array.from({ length: values * tritsPerByte }, (_, i) => {
  return Math.floor(Math.floor(i / tritsPerByte) / 3 ** (i % tritsPerByte)) % 3 - 1;
});

/** Bytes of one row of codes. */
export function denseRowBytes(columns: number): number {
  return Math.ceil(columns / tritsPerByte);
}

/** Dense ternary, at 1.6 bits a weight and half-precision scales of any groups. */
export const dense: PackedFormat = {
  ...{ name: "dense", blockSize: 1, bitsPerWeight: 8 / tritsPerByte },
  ...granularity(1),
  pack(matrix) {
    checkPackable(matrix, dense);
    const { codes, scales, rows, columns } = matrix;
    const rowBytes = denseRowBytes(columns);
    const packed = new Uint8Array(rows * rowBytes).fill(zeros);
    for (let row = 0, at = 0; row < rows; row++) {
      const end = (row + 1) * columns;
      for (let i = row * columns; i < end; at++) {
        for (let power = 1; power < values && i < end; power *= 3) packed[at] += codes[i++] * power;
      }
    }
    const halves = scales.map((scale, group) => halfScale(scale, { group, format: "dense" }));
    return joinBytes([packed, bytesOf(float32ToFloat16(halves))]);
  },
  unpack(bytes, options) {
    const { rows, columns } = options;
    const rowBytes = denseRowBytes(columns);
    const groupSize = options.groupSize ?? groupSizeOf(bytes.length, options);
    const groups = groupCount({ rows, columns, groupSize }, "Cannot unpack ternary");
    checkPacked(bytes, options, { format: dense, wanted: rows * rowBytes + 2 * groups });
    const codes = new Int8Array(rows * columns);
    for (let row = 0, at = 0; row < rows; row++) {
      const end = (row + 1) * columns;
      for (let i = row * columns; i < end; at++) {
        if (bytes[at] >= values) {
          throw new RangeError(`Cannot unpack from dense: row ${row} has the byte ${bytes[at]}, wanted at most 242`);
        }
        for (let j = 0; j < tritsPerByte && i < end; j++) codes[i++] = trits[bytes[at] * tritsPerByte + j];
      }
    }
    const scales = float16ToFloat32(viewAs(bytes.subarray(rows * rowBytes), Uint16Array<ArrayBuffer>));
    scales.forEach((scale, group) =>
      checkScale(scale, { action: "Cannot unpack from dense", place: `group ${group}`, stored: scale })
    );
    return { codes, scales, rows, columns, groupSize };
  },
};

/** The group size that leaves as many scales as there are bytes for. */
function groupSizeOf(length: number, { rows, columns }: UnpackOptions): number {
  const groups = (length - rows * denseRowBytes(columns)) / 2;
  if (groups === 1) return 0;
  return groups === rows ? -1 : rows * columns / groups;
}
