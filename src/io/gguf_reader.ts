/**
 * Reading GGUF files of versions 2 and 3.
 *
 * @module
 */

import { sizeOf } from "../core/shape.ts";
import { looksLike } from "./encoding.ts";
import { alignUp, ByteReader } from "./bytes.ts";
import { ggmlBytes, type GgmlType, ggmlTypeOf } from "./ggml_types.ts";
import {
  alignmentOf,
  type Gguf,
  type GgufArray,
  type GgufItem,
  ggufMagic,
  ggufMaximumRank,
  type GgufMetadata,
  type GgufTensor,
  type GgufValue,
  type GgufValueType,
  ggufValueTypes,
  ggufVersion,
} from "./gguf.ts";

/** Deepest nesting of arrays that is read. */
const maximumDepth = 4;

/** Fewest bytes that a metadata entry, a tensor entry and an item of each type can take. */
const minimumBytes = {
  metadata: 8 + 4 + 1,
  tensor: 8 + 4 + 4 + 8,
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
} as const satisfies Record<GgufValueType | "metadata" | "tensor", number>;

/** A header: metadata, and where the tensors lie. */
export interface GgufHeader {
  /** Metadata by key. */
  readonly metadata: GgufMetadata;
  /** Tensors by name, in the order of the file. */
  readonly spans: ReadonlyMap<string, GgufSpan>;
}

/** Where a tensor lies. */
export interface GgufSpan extends Omit<GgufTensor, "bytes"> {
  /** First byte of the file that belongs to it. */
  readonly begin: number;
  /** First byte after `begin` that does not. */
  readonly end: number;
}

/**
 * Parses the header of a file of `options.fileBytes` bytes, of which `bytes` are the first. Every count and length is checked against the
 * bytes that are left before anything is allocated, and every tensor's span against what its type and shape take; spans may not
 * overlap. Errors name `options.source` (such as a path), the key or tensor, and what was wanted.
 *
 * @throws BeginningTooShort where the header may be sound, but `bytes` are not all of it
 */
export function parseGgufHeader(bytes: Uint8Array, options: { source?: string; fileBytes?: number } = {}): GgufHeader {
  const { source = "GGUF bytes", fileBytes = bytes.length } = options;
  const reader = new ByteReader(bytes, source, fileBytes);
  checkVersion(reader);
  const tensorCount = reader.count(minimumBytes.tensor, "the tensor count");
  const metadata = readMetadata(reader, reader.count(minimumBytes.metadata, "the metadata count"));
  const infos = readTensorInfos(reader, tensorCount);
  const alignment = alignmentOf(metadata, `Cannot read ${source}`);
  const dataStart = alignUp(reader.offset, alignment);
  checkSpans(infos, { dataBytes: Math.max(0, fileBytes - dataStart), alignment, source });
  const entries = infos.map(({ name, type, shape, begin, end }): [string, GgufSpan] => {
    return [name, { type, shape, begin: dataStart + begin, end: dataStart + end }];
  });
  return { metadata, spans: new Map(entries) };
}

/** Parses a whole file, as {@link parseGgufHeader} does; tensors are views of `bytes`. */
export function parseGguf(bytes: Uint8Array, options: { source?: string } = {}): Gguf {
  const { metadata, spans } = parseGgufHeader(bytes, options);
  const tensors = new Map<string, GgufTensor>();
  for (const [name, { type, shape, begin, end }] of spans) tensors.set(name, { type, shape, bytes: bytes.subarray(begin, end) });
  return { metadata, tensors };
}

function checkVersion(reader: ByteReader): void {
  const magic = reader.uint(4, "the magic number");
  if (magic !== ggufMagic) {
    const other = looksLike(reader.bytes);
    const got = other ? `it looks like ${other}` : `it begins with 0x${magic.toString(16)}`;
    throw new RangeError(`Cannot read ${reader.source}: wanted it to begin with "GGUF", ${got}`);
  }
  const version = reader.uint(4, "the version");
  if (version === 2 || version === ggufVersion) return;
  const isBigEndian = version !== 0 && (version & 0xffff) === 0;
  throw new RangeError(
    `Cannot read ${reader.source}: ${
      isBigEndian ? "it is big-endian" : `version ${version}`
    }, wanted version 2 or 3, little-endian`,
  );
}

function readMetadata(reader: ByteReader, count: number): GgufMetadata {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = readString(reader, `metadata key ${i}`);
    if (metadata.has(key)) throw new RangeError(`Cannot read ${reader.source}: metadata key "${key}" occurs twice`);
    const what = `metadata "${key}"`;
    const lenient = key.startsWith("general.") && key !== "general.architecture"; // names and licences, for people
    metadata.set(key, readValue(reader, what, lenient));
  }
  return Object.fromEntries(metadata);
}

function readValue(reader: ByteReader, what: string, lenient: boolean): GgufValue {
  const type = readValueType(reader, what);
  if (type === "array") return readArray(reader, what, { depth: 1, lenient });
  return { type, value: readItem(reader, type, what, { depth: 1, lenient }) } as GgufValue;
}

/** How items are read: how deep arrays are nested, and whether texts may be other than UTF-8. */
interface ItemOptions {
  readonly depth: number;
  readonly lenient: boolean;
}

function readString(reader: ByteReader, what: string, lenient = false): string {
  return reader.text(reader.count(1, `the length of ${what}`), what, { lenient });
}

function readValueType(reader: ByteReader, what: string): GgufValueType {
  const id = reader.uint(4, `the type of ${what}`);
  if (id < ggufValueTypes.length) return ggufValueTypes[id];
  throw new RangeError(`Cannot read ${what} of ${reader.source}: value type ${id}, wanted 0 to ${ggufValueTypes.length - 1}`);
}

function readArray(reader: ByteReader, what: string, { depth, lenient }: ItemOptions): GgufArray {
  if (depth > maximumDepth) {
    throw new RangeError(`Cannot read ${what} of ${reader.source}: arrays nested deeper than ${maximumDepth}`);
  }
  const itemType = readValueType(reader, `the items of ${what}`);
  const count = reader.count(minimumBytes[itemType], `the length of ${what}`);
  const value: GgufItem[] = [];
  for (let i = 0; i < count; i++) value.push(readItem(reader, itemType, what, { depth: depth + 1, lenient }));
  return { type: "array", itemType, value };
}

function readItem(reader: ByteReader, type: GgufValueType, what: string, options: ItemOptions): GgufItem {
  switch (type) {
    case "uint8":
      return reader.uint(1, what);
    case "int8":
      return reader.int(1, what);
    case "uint16":
      return reader.uint(2, what);
    case "int16":
      return reader.int(2, what);
    case "uint32":
      return reader.uint(4, what);
    case "int32":
      return reader.int(4, what);
    case "float32":
      return reader.float(4, what);
    case "float64":
      return reader.float(8, what);
    case "uint64":
      return reader.uint64(what);
    case "int64":
      return reader.int64(what);
    case "bool":
      return readBool(reader, what);
    case "string":
      return readString(reader, what, options.lenient);
    case "array":
      return readArray(reader, what, options);
  }
}

function readBool(reader: ByteReader, what: string): boolean {
  const byte = reader.uint(1, what);
  if (byte > 1) throw new RangeError(`Cannot read ${what} of ${reader.source}: wanted a bool of 0 or 1, got ${byte}`);
  return byte === 1;
}

interface TensorInfo {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: number[];
  /** Bytes `[begin, end)` of the data section. */
  readonly begin: number;
  readonly end: number;
}

function readTensorInfos(reader: ByteReader, count: number): TensorInfo[] {
  const infos = new Map<string, TensorInfo>();
  for (let i = 0; i < count; i++) {
    const info = readTensorInfo(reader, i);
    if (infos.has(info.name)) throw new RangeError(`Cannot read ${reader.source}: tensor "${info.name}" occurs twice`);
    infos.set(info.name, info);
  }
  return [...infos.values()];
}

function readTensorInfo(reader: ByteReader, index: number): TensorInfo {
  const name = readString(reader, `the name of tensor ${index}`);
  const what = `tensor "${name}"`;
  const action = `Cannot read ${what} of ${reader.source}`;
  const rank = reader.uint(4, `the rank of ${what}`);
  if (rank > ggufMaximumRank) throw new RangeError(`${action}: ${rank} axes, wanted at most ${ggufMaximumRank}`);
  const shape = Array.from({ length: rank }, () => Number(reader.uint64(`the shape of ${what}`))).reverse();
  if (!Number.isSafeInteger(sizeOf(shape))) throw new RangeError(`${action}: shape [${shape}] is impossible`);
  const id = reader.uint(4, `the type of ${what}`);
  const type = ggmlTypeOf(id);
  if (type === undefined) throw new RangeError(`${action}: ggml type ${id} is not known`);
  const begin = Number(reader.uint64(`the offset of ${what}`));
  return { name, type, shape, begin, end: begin + ggmlBytes(type, shape, action) };
}

function checkSpans(
  infos: TensorInfo[],
  { dataBytes, alignment, source }: { readonly dataBytes: number; readonly alignment: number; readonly source: string },
): void {
  let covered = 0;
  for (const { name, type, shape, begin, end } of infos.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    const action = `Cannot read tensor "${name}" of ${source}: ${type} [${shape}] takes ${
      end - begin
    } bytes at byte ${begin} of the data`;
    if (begin % alignment !== 0) throw new RangeError(`${action}, wanted an offset that is a multiple of ${alignment}`);
    if (end > dataBytes) throw new RangeError(`${action}, which has only ${dataBytes}`);
    if (begin < covered) throw new RangeError(`${action}, but another tensor reaches to byte ${covered}`);
    covered = end;
  }
}
