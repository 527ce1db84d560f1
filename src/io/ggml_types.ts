/**
 * Sizes of the element types of GGUF files. A tensor is stored as rows of blocks: `blockLength` elements take `blockBytes` bytes.
 * Ids and sizes as in ggml (https://github.com/ggml-org/ggml), I2_S as in bitnet.cpp, PQ2_0 and PTQ1_0 as in Prism's fork of llama.cpp.
 *
 * @module
 */

import { type Shape, sizeOf } from "../core/shape.ts";

/** Name of a ggml element type. */
export type GgmlType =
  | "F32"
  | "F16"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q8_0"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "I8"
  | "I16"
  | "I32"
  | "I64"
  | "F64"
  | "BF16"
  | "TQ1_0"
  | "TQ2_0"
  | "I2_S"
  | "Q2_0"
  | "PQ2_0"
  | "PTQ1_0";

/** Sizes of an element type. */
export interface GgmlTypeSizes {
  /** Number of the type in files. */
  readonly id: number;
  /** Elements of a block. */
  readonly blockLength: number;
  /** Bytes of a block. */
  readonly blockBytes: number;
}

/** All element types known here, by ggml's name. */
export const ggmlTypes: Readonly<Record<GgmlType, GgmlTypeSizes>> = {
  F32: { id: 0, blockLength: 1, blockBytes: 4 },
  F16: { id: 1, blockLength: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockLength: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockLength: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockLength: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockLength: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockLength: 32, blockBytes: 34 },
  Q2_K: { id: 10, blockLength: 256, blockBytes: 84 },
  Q3_K: { id: 11, blockLength: 256, blockBytes: 110 },
  Q4_K: { id: 12, blockLength: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockLength: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockLength: 256, blockBytes: 210 },
  I8: { id: 24, blockLength: 1, blockBytes: 1 },
  I16: { id: 25, blockLength: 1, blockBytes: 2 },
  I32: { id: 26, blockLength: 1, blockBytes: 4 },
  I64: { id: 27, blockLength: 1, blockBytes: 8 },
  F64: { id: 28, blockLength: 1, blockBytes: 8 },
  BF16: { id: 30, blockLength: 1, blockBytes: 2 },
  TQ1_0: { id: 34, blockLength: 256, blockBytes: 54 },
  TQ2_0: { id: 35, blockLength: 256, blockBytes: 66 },
  I2_S: { id: 36, blockLength: 128, blockBytes: 32 },
  Q2_0: { id: 42, blockLength: 64, blockBytes: 18 },
  PQ2_0: { id: 142, blockLength: 128, blockBytes: 34 },
  PTQ1_0: { id: 143, blockLength: 128, blockBytes: 28 },
};

/** Bytes behind the last block of a tensor: a scale of the whole tensor and its padding. */
const tailBytes: Partial<Record<GgmlType, number>> = { I2_S: 32 };

const names = new Map(Object.entries(ggmlTypes).map(([name, { id }]): [number, GgmlType] => [id, name as GgmlType]));

/** Name of the type with this id, or `undefined`. */
export function ggmlTypeOf(id: number): GgmlType | undefined {
  return names.get(id);
}

/**
 * Bytes that a tensor takes. `shape` has the innermost axis last. Throws a `RangeError` that starts with `action` when that axis
 * is no multiple of the type's block.
 */
export function ggmlBytes(type: GgmlType, shape: Shape, action: string): number {
  const { blockLength, blockBytes } = ggmlTypes[type];
  const columns = shape.at(-1) ?? 1;
  if (columns % blockLength !== 0) {
    throw new RangeError(`${action}: the last length of ${type} [${shape}] must be a multiple of ${blockLength}, got ${columns}`);
  }
  return sizeOf(shape) / blockLength * blockBytes + (tailBytes[type] ?? 0);
}
