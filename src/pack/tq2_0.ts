/**
 * llama.cpp's TQ2_0: blocks of 256 weights, two bits a weight and then a half-precision scale.
 *
 *     block = qs[64], d:f16      weight 128 h + 32 l + m = d · (((qs[32 h + m] >> 2 l) & 3) - 1)
 *
 * Source: `dequantize_row_tq2_0` of https://github.com/ggml-org/ggml.
 *
 * @module
 */

import { blockFormat } from "./block.ts";
import type { PackedFormat } from "./format.ts";
import { fourStrided } from "./two_bits.ts";

/** TQ2_0, at 2.0625 bits a weight. */
export const tq2_0: PackedFormat = blockFormat({
  ...{ name: "tq2_0", ggmlType: "TQ2_0", blockSize: 256, codeBytes: 64, scaleAt: "end" },
  ...fourStrided(256, [0, 2, 4, 6]),
});
