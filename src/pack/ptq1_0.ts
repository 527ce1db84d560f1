/**
 * PTQ1_0 of Prism's fork of llama.cpp: TQ1_0 with blocks of 128 weights.
 *
 *     block = qs[24], qh[2], d:f16
 *     qs[m], m < 16: weights m + 16 n      qs[16 + m], m < 8: weights 80 + m + 8 n      qh[m]: weights 120 + m + 2 n
 *
 * @module
 */

import { base3 } from "./base3.ts";
import { blockFormat } from "./block.ts";
import type { PackedFormat } from "./format.ts";

/** PTQ1_0, at 1.75 bits a weight. */
export const ptq1_0: PackedFormat = blockFormat({
  ...{ name: "ptq1_0", ggmlType: "PTQ1_0", blockSize: 128, codeBytes: 26, scaleAt: "end" },
  ...base3([{ bytes: 16, trits: 5 }, { bytes: 8, trits: 5 }, { bytes: 2, trits: 4 }]),
});
