/**
 * The packed formats there are. A new one is a file that exports a {@linkcode PackedFormat}, and a line here.
 *
 * @module
 */

import type { GgmlType } from "../io/ggml_types.ts";
import type { PackedFormat } from "./format.ts";
import { q2_0 } from "./q2_0.ts";

/** Every packed format by name. */
export const packedFormats = { q2_0 } as const satisfies Record<string, PackedFormat>;

/** Name of a packed format. */
export type PackedFormatName = keyof typeof packedFormats;

/** The format that GGUF files call by this type, if it is one. */
export function packedFormatOf(type: GgmlType): PackedFormat | undefined {
  return Object.values(packedFormats).find(({ ggmlType }) => ggmlType === type);
}
