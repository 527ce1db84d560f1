/**
 * PQ2_0 of Prism's fork of llama.cpp: Q2_0 with blocks of 128 weights.
 *
 *     block = d:f16, qs[32]      weight j = d · (((qs[j / 4] >> 2 (j mod 4)) & 3) - 1)
 *
 * Its type is 142; early files gave it 42, which is llama.cpp's Q2_0 with blocks of 64, so that their tensors do not fit their spans.
 *
 * @module
 */

import { blockFormat } from "./block.ts";
import type { PackedFormat } from "./format.ts";
import { fourNeighbours } from "./two_bits.ts";

/** PQ2_0, at 2.125 bits a weight. */
export const pq2_0: PackedFormat = blockFormat({
  ...{ name: "pq2_0", ggmlType: "PQ2_0", blockSize: 128, codeBytes: 32, scaleAt: "start" },
  ...fourNeighbours(128),
});
