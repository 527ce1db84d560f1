/**
 * llama.cpp's Q4_0 with nothing but ternary weights in it, written block by block: larger than need be, and read by every runtime.
 *
 *     block = d:f16, qs[16]      weight j = d · ((j < 16 ? qs[j] & 15 : qs[j - 16] >> 4) - 8)
 *
 * Source: `dequantize_row_q4_0` of https://github.com/ggml-org/ggml. Its own quantizer would divide the largest weight by -8.
 *
 * @module
 */

import { blockFormat } from "./block.ts";
import type { PackedFormat } from "./format.ts";

const half = 16;

/** Q4_0, at 4.5 bits a weight. */
export const q4_0: PackedFormat = blockFormat({
  ...{ name: "q4_0", ggmlType: "Q4_0", blockSize: 2 * half, codeBytes: half, scaleAt: "start" },
  encode(codes, start, bytes, at) {
    for (let j = 0; j < half; j++) bytes[at + j] = codes[start + j] + 8 | codes[start + half + j] + 8 << 4;
  },
  decode(bytes, at, codes, start) {
    for (let j = 0; j < half; j++) {
      codes[start + j] = (bytes[at + j] & 15) - 8;
      codes[start + half + j] = (bytes[at + j] >> 4) - 8;
    }
  },
});
