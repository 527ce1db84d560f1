/**
 * llama.cpp's Q2_0: blocks of 64 weights, a half-precision scale and then two bits a weight.
 *
 *     block = d:f16, qs[16]      weight j = d · (((qs[j / 4] >> 2 (j mod 4)) & 3) - 1)
 *
 * Source: `dequantize_row_q2_0` of https://github.com/ggml-org/ggml. Code 3, a weight of 2 d, is never written.
 *
 * @module
 */

import { blockFormat } from "./block.ts";
import type { PackedFormat } from "./format.ts";
import { fourNeighbours } from "./two_bits.ts";

/** Q2_0, at 2.25 bits a weight. */
export const q2_0: PackedFormat = blockFormat({
  ...{ name: "q2_0", ggmlType: "Q2_0", blockSize: 64, codeBytes: 16, scaleAt: "start" },
  ...fourNeighbours(64),
});
