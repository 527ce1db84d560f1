/**
 * llama.cpp's TQ1_0: blocks of 256 weights, five trits a byte (four in the last four bytes) and then a half-precision scale.
 *
 *     block = qs[48], qh[4], d:f16
 *     qs[m], m < 32: weights m + 32 n      qs[32 + m], m < 16: weights 160 + m + 16 n      qh[m]: weights 240 + m + 4 n
 *
 * Source: `dequantize_row_tq1_0` of https://github.com/ggml-org/ggml.
 *
 * @module
 */

import { base3 } from "./base3.ts";
import { blockFormat } from "./block.ts";
import type { PackedFormat } from "./format.ts";

/** TQ1_0, at 1.6875 bits a weight. */
export const tq1_0: PackedFormat = blockFormat({
  ...{ name: "tq1_0", ggmlType: "TQ1_0", blockSize: 256, codeBytes: 52, scaleAt: "end" },
  ...base3([{ bytes: 32, trits: 5 }, { bytes: 16, trits: 5 }, { bytes: 4, trits: 4 }]),
});
