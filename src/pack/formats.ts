/**
 * The packed formats there are. A new one is a file that exports a {@linkcode PackedFormat}, and a line here.
 *
 * @module
 */

import type { GgmlType } from "../io/ggml_types.ts";
import type { PackedFormat } from "./format.ts";
import { q2_0 } from "./q2_0.ts";

/** Name of a packed format. */
export type PackedFormatName = "q2_0";

/** Every packed format by name. */
export const packedFormats: Readonly<Record<PackedFormatName, PackedFormat>> = { q2_0 };

/** The format that GGUF files call by this type, if it is one. */
export function packedFormatOf(type: GgmlType): PackedFormat | undefined {
  return Object.values(packedFormats).find(({ ggmlType }) => ggmlType === type);
}
