/**
 * The contents of a GGUF file, as both {@link parseGguf} and {@link writeGguf} see them. Layout:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import type { GgmlType } from "./ggml_types.ts";

/** First four bytes of every file: "GGUF". */
export const ggufMagic = 0x46554747;

/** Version that is written. Versions 2 and 3 are read: they differ only in allowing big-endian files, which are refused. */
export const ggufVersion = 3;

/** Key of the alignment of tensor data, in bytes, and its value where the key is absent. */
const ggufAlignment = { key: "general.alignment", default: 32 } as const;

/** Most axes a tensor may have. */
export const ggufMaximumRank = 4;

/** Name of a metadata value type. */
export type GgufValueType =
  | "uint8"
  | "int8"
  | "uint16"
  | "int16"
  | "uint32"
  | "int32"
  | "float32"
  | "bool"
  | "string"
  | "array"
  | "uint64"
  | "int64"
  | "float64";

/** Types of metadata values; the position is the id in the file. */
export const ggufValueTypes: readonly GgufValueType[] = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
];

/** A metadata value with the type it has in the file. 64-bit integers are bigints. */
export type GgufValue =
  | { readonly type: "uint8" | "int8" | "uint16" | "int16" | "uint32" | "int32" | "float32" | "float64"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "uint64" | "int64"; readonly value: bigint }
  | GgufArray;

/** A list of values of one type. An item of an array of arrays is a `GgufArray`. */
export interface GgufArray {
  /** Tells arrays from single values. */
  readonly type: "array";
  /** Type of every item. */
  readonly itemType: GgufValueType;
  /** The items; none is allowed. */
  readonly value: readonly GgufItem[];
}

/** An item of a {@link GgufArray}. */
export type GgufItem = number | bigint | boolean | string | GgufArray;

/** Metadata by key, in the order of the file. */
export type GgufMetadata = Record<string, GgufValue>;

/** A tensor as stored. */
export interface GgufTensor {
  /** Element type. */
  readonly type: GgmlType;
  /** Lengths with the innermost axis last, the reverse of the file's order: a matrix is [rows, columns]. At most four. */
  readonly shape: Shape;
  /** Blocks of elements, row after row. */
  readonly bytes: Uint8Array;
}

/** A tensor whose bytes are made when they are written, a piece at a time. */
export interface GgufSource extends Pick<GgufTensor, "type" | "shape"> {
  /** Gives blocks of elements, row after row, in pieces. */
  readonly pieces: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** A whole file. */
export interface Gguf {
  /** Metadata by key. */
  readonly metadata: GgufMetadata;
  /** Tensors by name, in the order of the file. */
  readonly tensors: Map<string, GgufTensor>;
}

/** A file whose tensors are read when asked for. Close it, or hold it with `using`. */
export interface GgufFile extends Disposable {
  /** Metadata by key. */
  readonly metadata: GgufMetadata;
  /** Type, shape and number of bytes by tensor name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufEntry>;
  /** Reads one tensor. Throws a `RangeError` when there is none of that name. */
  read(name: string): Promise<GgufTensor>;
  /** Reads some of a tensor's bytes. Throws as `read`. */
  readBytes(name: string, start: number, length: number): Promise<Uint8Array>;
  /** Closes the file; later reads fail. */
  close(): void;
}

/** What a header says of a tensor. */
export interface GgufEntry extends Omit<GgufTensor, "bytes"> {
  /** Bytes that it takes. */
  readonly byteLength: number;
}

/** A parsed file as one whose tensors are read when asked for. */
export function ggufInMemory({ metadata, tensors }: Gguf): GgufFile {
  const entries = [...tensors].map(([name, { type, shape, bytes }]): [string, GgufEntry] => {
    return [name, { type, shape, byteLength: bytes.length }];
  });
  return {
    metadata,
    tensors: new Map(entries),
    // deno-lint-ignore require-await -- errors reject
    read: async (name) => present(tensors.get(name), name),
    // deno-lint-ignore require-await -- errors reject
    readBytes: async (name, start, length) => present(tensors.get(name), name).bytes.subarray(start, start + length),
    close() {},
    [Symbol.dispose]() {},
  };
}

/** What was found under a tensor's name. Throws a `RangeError` where that is nothing. */
export function present<T>(found: T | undefined, name: string): T {
  if (found !== undefined) return found;
  throw new RangeError(`Cannot read tensor "${name}": the file has none of that name`);
}

/** Alignment of tensor data in bytes. Throws a `RangeError` that starts with `action` unless it is a power of two as uint32. */
export function alignmentOf(metadata: GgufMetadata, action: string): number {
  const entry = Object.hasOwn(metadata, ggufAlignment.key) ? metadata[ggufAlignment.key] : undefined;
  if (entry === undefined) return ggufAlignment.default;
  const isPower = entry.type === "uint32" && entry.value > 0 && Number.isInteger(Math.log2(entry.value));
  if (!isPower) {
    throw new RangeError(`${action}: ${ggufAlignment.key} is ${entry.type} ${entry.value}, wanted a power of two as uint32`);
  }
  return entry.value;
}
