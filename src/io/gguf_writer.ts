/**
 * Writing GGUF files of version 3.
 *
 * @module
 */

import { alignUp, type Bytes, ByteWriter, joinBytes } from "./bytes.ts";
import { ggmlBytes, ggmlTypes } from "./ggml_types.ts";
import {
  alignmentOf,
  type GgufArray,
  type GgufItem,
  ggufMagic,
  ggufMaximumRank,
  type GgufMetadata,
  type GgufSource,
  type GgufTensor,
  type GgufValueType,
  ggufValueTypes,
  ggufVersion,
} from "./gguf.ts";

/** Longest tensor name that ggml accepts, in UTF-8 bytes. */
const maximumNameBytes = 63;

/**
 * A whole file in memory. Metadata and tensors keep the order they are given in; tensor data is aligned to `general.alignment`,
 * 32 bytes where that key is absent. Throws an error that names the key or tensor when a value does not fit its type, or bytes
 * their shape.
 */
export function writeGguf(metadata: GgufMetadata, tensors: Record<string, GgufTensor>): Bytes {
  const alignment = alignmentOf(metadata, "Cannot write GGUF");
  const data = Object.entries(tensors).flatMap(([name, tensor]) => {
    return [tensor.bytes, padding(name, tensor, { got: tensor.bytes.length, alignment })];
  });
  return joinBytes([headerBytes(metadata, tensors, alignment), ...data]);
}

/** The bytes of {@link writeGguf} from tensors that are read one at a time, for models that memory should not hold whole. */
export async function* ggufStream(metadata: GgufMetadata, tensors: Record<string, GgufSource>): AsyncGenerator<Uint8Array> {
  const alignment = alignmentOf(metadata, "Cannot write GGUF");
  yield headerBytes(metadata, tensors, alignment);
  for (const [name, source] of Object.entries(tensors)) {
    let got = 0;
    for await (const piece of source.pieces()) {
      got += piece.length;
      yield piece;
    }
    yield padding(name, source, { got, alignment });
  }
}

/** What a header tells of a tensor. */
type Stored = Pick<GgufTensor, "type" | "shape">;

function storedBytes(name: string, { type, shape }: Stored): number {
  return ggmlBytes(type, shape, `Cannot write tensor "${name}"`);
}

/** What fills the file up behind the bytes that a tensor gave. Throws a RangeError where they are not as many as it takes. */
function padding(name: string, tensor: Stored, { got, alignment }: { readonly got: number; readonly alignment: number }): Bytes {
  const wanted = storedBytes(name, tensor);
  if (got === wanted) return new Uint8Array(alignUp(wanted, alignment) - wanted);
  throw new RangeError(`Cannot write tensor "${name}": ${tensor.type} [${tensor.shape}] takes ${wanted} bytes, got ${got}`);
}

function headerBytes(metadata: GgufMetadata, tensors: Record<string, Stored>, alignment: number): Bytes {
  const writer = new ByteWriter();
  writer.int(ggufMagic, 4);
  writer.int(ggufVersion, 4);
  writer.int64(BigInt(Object.keys(tensors).length));
  writer.int64(BigInt(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) {
    const action = `Cannot write metadata "${key}"`;
    writeString(writer, key);
    writer.int(ggufValueTypes.indexOf(value.type), 4);
    writeItem(writer, value.type, value.type === "array" ? value : value.value, action);
  }
  let offset = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    writeTensorInfo(writer, name, tensor, offset);
    offset += alignUp(storedBytes(name, tensor), alignment);
  }
  writer.align(alignment);
  return writer.finish();
}

function writeString(writer: ByteWriter, text: string): void {
  const bytes = new TextEncoder().encode(text);
  writer.int64(BigInt(bytes.length));
  writer.bytes(bytes);
}

/** Bounds of integer types, both included. */
const integerRange: Partial<Record<GgufValueType, readonly [number | bigint, number | bigint]>> = {
  uint8: [0, 0xff],
  int8: [-0x80, 0x7f],
  uint16: [0, 0xffff],
  int16: [-0x8000, 0x7fff],
  uint32: [0, 0xffffffff],
  int32: [-0x80000000, 0x7fffffff],
  uint64: [0n, 2n ** 64n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
};

const typeOfValue = {
  uint8: "number",
  int8: "number",
  uint16: "number",
  int16: "number",
  uint32: "number",
  int32: "number",
  float32: "number",
  float64: "number",
  uint64: "bigint",
  int64: "bigint",
  bool: "boolean",
  string: "string",
  array: "object",
} as const satisfies Record<GgufValueType, string>;

function checkItem(type: GgufValueType, value: GgufItem, action: string): void {
  const range = integerRange[type];
  const fits = range === undefined || isWhole(value) && value >= range[0] && value <= range[1];
  if (typeof value === typeOfValue[type] && fits) return;
  const wanted = range ? `${typeOfValue[type]} from ${range[0]} to ${range[1]}` : typeOfValue[type];
  throw new RangeError(`${action} as ${type}: wanted a ${wanted}, got ${typeof value} ${value}`);
}

function isWhole(value: GgufItem): value is number | bigint {
  return typeof value === "bigint" || Number.isInteger(value);
}

function writeItem(writer: ByteWriter, type: GgufValueType, value: GgufItem, action: string): void {
  checkItem(type, value, action);
  switch (type) {
    case "uint8":
    case "int8":
      return writer.int(value as number, 1);
    case "uint16":
    case "int16":
      return writer.int(value as number, 2);
    case "uint32":
    case "int32":
      return writer.int(value as number, 4);
    case "float32":
      return writer.float(value as number, 4);
    case "float64":
      return writer.float(value as number, 8);
    case "uint64":
    case "int64":
      return writer.int64(value as bigint);
    case "bool":
      return writer.int(value ? 1 : 0, 1);
    case "string":
      return writeString(writer, value as string);
    case "array":
      return writeArray(writer, value as GgufArray, action);
  }
}

function writeArray(writer: ByteWriter, { itemType, value }: GgufArray, action: string): void {
  writer.int(ggufValueTypes.indexOf(itemType), 4);
  writer.int64(BigInt(value.length));
  for (const item of value) writeItem(writer, itemType, item, action);
}

function writeTensorInfo(writer: ByteWriter, name: string, { type, shape }: Stored, offset: number): void {
  const action = `Cannot write tensor "${name}"`;
  const nameBytes = new TextEncoder().encode(name).length;
  if (nameBytes > maximumNameBytes) {
    throw new RangeError(`${action}: a name of ${nameBytes} bytes, wanted at most ${maximumNameBytes}`);
  }
  if (shape.length > ggufMaximumRank) throw new RangeError(`${action}: ${shape.length} axes, wanted at most ${ggufMaximumRank}`);
  writeString(writer, name);
  writer.int(shape.length, 4);
  for (const length of shape.toReversed()) writer.int64(BigInt(length));
  writer.int(ggmlTypes[type].id, 4);
  writer.int64(BigInt(offset));
}
