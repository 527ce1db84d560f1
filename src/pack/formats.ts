/**
 * The packed formats there are. A new one is a file that exports a {@linkcode PackedFormat}, and a line here.
 *
 * @module
 */

import type { GgmlType } from "../io/ggml_types.ts";
import { bitnet } from "./bitnet.ts";
import { dense } from "./dense.ts";
import type { PackedFormat } from "./format.ts";
import { i2_s } from "./i2_s.ts";
import { pq2_0 } from "./pq2_0.ts";
import { ptq1_0 } from "./ptq1_0.ts";
import { q2_0 } from "./q2_0.ts";
import { q4_0 } from "./q4_0.ts";
import { tq1_0 } from "./tq1_0.ts";
import { tq2_0 } from "./tq2_0.ts";

/**
 * Name of a packed format. llama.cpp reads `q2_0`, `tq2_0`, `tq1_0` and `q4_0`; its forks read `pq2_0` and `ptq1_0` (Prism's) and `i2_s`
 * (bitnet.cpp on x86); `bitnet` is the layout of Hugging Face's checkpoints, `dense` our own.
 */
export type PackedFormatName =
  | "q2_0"
  | "tq2_0"
  | "tq1_0"
  | "q4_0"
  | "pq2_0"
  | "ptq1_0"
  | "i2_s"
  | "bitnet"
  | "dense";

/** Every packed format by name. */
export const packedFormats: Readonly<Record<PackedFormatName, PackedFormat>> = {
  ...{ q2_0, tq2_0, tq1_0, q4_0, pq2_0, ptq1_0, i2_s },
  ...{ bitnet, dense },
};

/** The format that GGUF files call by this type, if it is one. */
export function packedFormatOf(type: GgmlType): PackedFormat | undefined {
  return Object.values(packedFormats).find(({ ggmlType }) => ggmlType === type);
}
