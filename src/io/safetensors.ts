/**
 * The safetensors format: eight bytes of header length, a JSON header, then the tensors' bytes without gaps.
 * Layout: https://github.com/huggingface/safetensors#format. No files here: see `safetensors_file.ts`.
 *
 * @module
 */

import { type Shape, sizeOf } from "../core/shape.ts";
import { alignUp, type Bytes, bytesOf, joinBytes, viewAs } from "./bytes.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./float16.ts";
import { looksLike } from "./encoding.ts";
import { duplicateKey, isJsonObject, type JsonObject, parseJsonObject } from "./json.ts";

/** Element type as safetensors names it. */
export type SafetensorsDType =
  | "F64"
  | "I64"
  | "U64"
  | "F32"
  | "I32"
  | "U32"
  | "F16"
  | "BF16"
  | "I16"
  | "U16"
  | "I8"
  | "U8"
  | "BOOL";

/** Bytes of an element. */
export const elementBytes = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const satisfies Record<SafetensorsDType, number>;

/** A tensor as stored. */
export interface SafetensorsEntry {
  /** Element type. */
  readonly dtype: SafetensorsDType;
  /** Lengths, outermost first; `[]` for a scalar. */
  readonly shape: Shape;
  /** Row-major elements, little-endian. */
  readonly bytes: Uint8Array;
}

/** A tensor to be written from its values. */
export interface SafetensorsValues {
  /** Element type to write. */
  readonly dtype: SafetensorsDType;
  /** Lengths, outermost first; `[]` for a scalar. */
  readonly shape: Shape;
  /** One number an element, row-major; zeros and ones for `BOOL`. */
  readonly data: ArrayLike<number>;
}

/** A tensor to be written whose bytes are made when its turn has come, a piece at a time. */
export interface SafetensorsSource {
  /** Element type to write. */
  readonly dtype: SafetensorsDType;
  /** Lengths, outermost first; `[]` for a scalar. */
  readonly shape: Shape;
  /** Gives the row-major elements, little-endian, in pieces. */
  readonly pieces: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Contents of a safetensors file. */
export interface Safetensors {
  /** The header's `__metadata__`. */
  readonly metadata: Record<string, string>;
  /** Tensors by name, in the order of the header. */
  readonly tensors: Map<string, SafetensorsEntry>;
}

/** Where a tensor lies. */
export interface TensorSpan {
  /** Element type. */
  readonly dtype: SafetensorsDType;
  /** Lengths, outermost first; `[]` for a scalar. */
  readonly shape: Shape;
  /** First byte after the header that belongs to it. */
  readonly begin: number;
  /** First byte after `begin` that does not. */
  readonly end: number;
}

/** A parsed header: names, and where their bytes lie after it. */
export interface SafetensorsHeader {
  /** The header's `__metadata__`. */
  readonly metadata: Record<string, string>;
  /** Spans by tensor name, in the order of the header. */
  readonly spans: Map<string, TensorSpan>;
}

/** Values of a tensor in the narrowest array that holds them exactly; 64-bit integers come as float64. */
export type TensorValues =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Longest header that is believed, in bytes; the reference implementation's limit. */
const maximumHeaderBytes = 100_000_000;

/**
 * Length of the JSON header in bytes, from the first eight bytes of a file of `fileBytes` bytes.
 * Throws a `RangeError` that names `source` when the header cannot fit.
 */
export function safetensorsHeaderBytes(first8: Uint8Array, fileBytes: number, source: string): number {
  if (first8.length < 8) throw new RangeError(`Cannot read ${source}: wanted at least 8 bytes, got ${first8.length}`);
  const length = new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(fileBytes - 8, maximumHeaderBytes);
  if (length > BigInt(limit)) {
    const other = looksLike(first8);
    if (other) throw new RangeError(`Cannot read ${source}: it looks like ${other}; wanted a safetensors file`);
    throw new RangeError(
      `Cannot read ${source}: header of ${length} bytes, wanted at most ${limit} in a file of ${fileBytes} bytes`,
    );
  }
  return Number(length);
}

/**
 * Checks a header against the `dataBytes` bytes that follow it: known dtypes, each span as long as its shape wants, and all of
 * them together covering the data once. Throws an error that names `source`, the tensor and what was wanted.
 */
export function parseSafetensorsHeader(header: Uint8Array, dataBytes: number, source: string): SafetensorsHeader {
  const text = new TextDecoder().decode(header);
  const object = parseJsonObject(text, `Cannot read the header of ${source}`);
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new SyntaxError(`Cannot read ${source}: its header names "${twice}" twice`);
  const spans = new Map<string, TensorSpan>();
  for (const [name, value] of Object.entries(object)) {
    if (name !== "__metadata__") spans.set(name, parseSpan(value, `Cannot read tensor "${name}" of ${source}`));
  }
  checkCoverage(spans, dataBytes, source);
  return { metadata: parseMetadata(object.__metadata__, source), spans };
}

function parseMetadata(value: unknown, source: string): Record<string, string> {
  if (value === undefined) return {};
  if (isJsonObject(value) && Object.values(value).every((item) => typeof item === "string")) {
    return value as Record<string, string>;
  }
  throw new SyntaxError(`Cannot read __metadata__ of ${source}: wanted an object of strings`);
}

function parseSpan(value: unknown, action: string): TensorSpan {
  const { dtype, shape, data_offsets: offsets } = isJsonObject(value) ? value : {} as JsonObject;
  if (!isDType(dtype)) {
    throw new RangeError(`${action}: dtype ${JSON.stringify(dtype)}, wanted one of ${Object.keys(elementBytes).join(", ")}`);
  }
  if (!isLengths(shape)) throw new RangeError(`${action}: shape ${JSON.stringify(shape)}, wanted a list of whole numbers`);
  if (!isLengths(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw new RangeError(`${action}: data_offsets ${JSON.stringify(offsets)}, wanted [begin, end]`);
  }
  const [begin, end] = offsets;
  const wanted = sizeOf(shape) * elementBytes[dtype];
  if (end - begin !== wanted) {
    throw new RangeError(`${action}: ${dtype} [${shape}] takes ${wanted} bytes, its span [${offsets}] has ${end - begin}`);
  }
  return { dtype, shape, begin, end };
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === "string" && Object.hasOwn(elementBytes, value);
}

function isLengths(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((length) => Number.isSafeInteger(length) && length >= 0);
}

function checkCoverage(spans: Map<string, TensorSpan>, dataBytes: number, source: string): void {
  let covered = 0;
  for (const [name, { begin, end }] of [...spans].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const action = `Cannot read tensor "${name}" of ${source}: its span [${begin},${end}]`;
    if (end > dataBytes) throw new RangeError(`${action} ends after the ${dataBytes} bytes of data`);
    if (begin < covered) throw new RangeError(`${action} overlaps another, which ends at ${covered}`);
    if (begin > covered) throw new RangeError(`${action} leaves a gap: wanted it to begin at ${covered}`);
    covered = end;
  }
  if (covered !== dataBytes) {
    throw new RangeError(`Cannot read ${source}: ${dataBytes - covered} bytes at its end belong to no tensor`);
  }
}

/** Parses a whole file; tensors are views of `bytes`. `options.source` names the bytes in errors, such as a path. */
export function parseSafetensors(bytes: Uint8Array, options: { source?: string } = {}): Safetensors {
  const source = options.source ?? "safetensors bytes";
  const dataStart = 8 + safetensorsHeaderBytes(bytes.subarray(0, 8), bytes.length, source);
  const { metadata, spans } = parseSafetensorsHeader(bytes.subarray(8, dataStart), bytes.length - dataStart, source);
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [name, { dtype, shape, begin, end }] of spans) {
    tensors.set(name, { dtype, shape, bytes: bytes.subarray(dataStart + begin, dataStart + end) });
  }
  return { metadata, tensors };
}

/**
 * Values of a stored tensor, row-major. F16 and BF16 become float32; I64 and U64 become float64 and must be at most 2^53 in
 * magnitude, else a `RangeError` says which is not. The array may be a view of the entry's bytes: copy it before writing to it.
 */
export function tensorValues(entry: SafetensorsEntry): TensorValues {
  return decoders[entry.dtype](entry.bytes);
}

const decoders = {
  F64: (bytes) => viewAs(bytes, Float64Array<ArrayBuffer>),
  F32: (bytes) => viewAs(bytes, Float32Array<ArrayBuffer>),
  F16: (bytes) => float16ToFloat32(viewAs(bytes, Uint16Array<ArrayBuffer>)),
  BF16: (bytes) => bfloat16ToFloat32(viewAs(bytes, Uint16Array<ArrayBuffer>)),
  I64: (bytes) => exactNumbers(viewAs(bytes, BigInt64Array<ArrayBuffer>)),
  U64: (bytes) => exactNumbers(viewAs(bytes, BigUint64Array<ArrayBuffer>)),
  I32: (bytes) => viewAs(bytes, Int32Array<ArrayBuffer>),
  U32: (bytes) => viewAs(bytes, Uint32Array<ArrayBuffer>),
  I16: (bytes) => viewAs(bytes, Int16Array<ArrayBuffer>),
  U16: (bytes) => viewAs(bytes, Uint16Array<ArrayBuffer>),
  I8: (bytes) => viewAs(bytes, Int8Array<ArrayBuffer>),
  U8: (bytes) => viewAs(bytes, Uint8Array<ArrayBuffer>),
  BOOL: (bytes) => viewAs(bytes, Uint8Array<ArrayBuffer>),
} satisfies Record<SafetensorsDType, (bytes: Uint8Array) => TensorValues>;

function exactNumbers(integers: BigInt64Array | BigUint64Array): Float64Array<ArrayBuffer> {
  const values = new Float64Array(integers.length);
  for (let i = 0; i < integers.length; i++) {
    values[i] = Number(integers[i]);
    if (BigInt(values[i]) !== integers[i]) {
      throw new RangeError(`Cannot hold ${integers[i]} in a number: wanted at most 2^53 in magnitude`);
    }
  }
  return values;
}

const encoders = {
  F64: (data) => bytesOf(Float64Array.from(data)),
  F32: (data) => bytesOf(Float32Array.from(data)),
  F16: (data) => bytesOf(float32ToFloat16(data)),
  BF16: (data) => bytesOf(float32ToBfloat16(data)),
  I64: (data) => bytesOf(BigInt64Array.from(data, BigInt)),
  U64: (data) => bytesOf(BigUint64Array.from(data, BigInt)),
  I32: (data) => bytesOf(Int32Array.from(data)),
  U32: (data) => bytesOf(Uint32Array.from(data)),
  I16: (data) => bytesOf(Int16Array.from(data)),
  U16: (data) => bytesOf(Uint16Array.from(data)),
  I8: (data) => bytesOf(Int8Array.from(data)),
  U8: (data) => bytesOf(Uint8Array.from(data)),
  BOOL: (data) => bytesOf(Uint8Array.from(data, (value) => value ? 1 : 0)),
} satisfies Record<SafetensorsDType, (data: ArrayLike<number>) => Bytes>;

/**
 * A whole file in memory. Tensors may be given as values or as stored entries. The same tensors give the same bytes: wider
 * elements come first, then names in code-point order, and the header is padded to 8 bytes, so that every tensor is aligned to
 * its element. Floats are rounded to the dtype (F16 beyond 65504 becomes infinite), integers wrap as typed arrays do.
 */
export function writeSafetensors(
  tensors: Record<string, SafetensorsEntry | SafetensorsValues>,
  metadata: Record<string, string> = {},
): Bytes {
  return joinBytes(safetensorsChunks(tensors, metadata));
}

/**
 * The bytes of {@link writeSafetensors}, header first, then one tensor at a time: for files larger than memory should hold
 * twice.
 */
export function* safetensorsChunks(
  tensors: Record<string, SafetensorsEntry | SafetensorsValues>,
  metadata: Record<string, string> = {},
): Generator<Uint8Array> {
  const names = storedOrder(tensors);
  for (const name of names) checkLength(name, tensors[name]);
  yield headerBytes(names.map((name) => [name, tensors[name]]), metadata);
  for (const name of names) {
    const tensor = tensors[name];
    yield "bytes" in tensor ? tensor.bytes : encoders[tensor.dtype](tensor.data);
  }
}

/**
 * The same bytes from tensors that are read one at a time, for models that memory should not hold whole.
 */
export async function* safetensorsStream(
  tensors: Record<string, SafetensorsSource>,
  metadata: Record<string, string> = {},
): AsyncGenerator<Uint8Array> {
  const names = storedOrder(tensors);
  yield headerBytes(names.map((name) => [name, tensors[name]]), metadata);
  for (const name of names) {
    const { pieces, dtype, shape } = tensors[name];
    let got = 0;
    for await (const piece of pieces()) {
      got += piece.length;
      yield piece;
    }
    const wanted = storedBytes(name, tensors[name]);
    if (got !== wanted) {
      throw new RangeError(`Cannot write tensor "${name}": ${dtype} [${shape}] takes ${wanted} bytes, got ${got}`);
    }
  }
}

/** What a header tells of a tensor. */
type Stored = Pick<SafetensorsEntry, "dtype" | "shape">;

/** Names in the order of the file: wider elements first. */
function storedOrder(tensors: Record<string, Stored>): string[] {
  return Object.keys(tensors).sort((a, b) => elementBytes[tensors[b].dtype] - elementBytes[tensors[a].dtype] || (a < b ? -1 : 1));
}

function headerBytes(tensors: [string, Stored][], metadata: Record<string, string>): Bytes {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    entries.push(["__metadata__", Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => a < b ? -1 : 1))]);
  }
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const length = storedBytes(name, tensor);
    entries.push([name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + length] }]);
    offset += length;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const header = new Uint8Array(alignUp(8 + json.length, 8)).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}

function storedBytes(name: string, { dtype, shape }: Stored): number {
  if (name === "__metadata__") throw new RangeError(`Cannot write a tensor named "__metadata__": the format keeps that name`);
  return sizeOf(shape) * elementBytes[dtype];
}

function checkLength(name: string, tensor: SafetensorsEntry | SafetensorsValues): void {
  const { dtype, shape } = tensor;
  const wanted = storedBytes(name, tensor);
  const got = "bytes" in tensor ? tensor.bytes.length : tensor.data.length * elementBytes[dtype];
  if (got !== wanted) {
    throw new RangeError(`Cannot write tensor "${name}": ${dtype} [${shape}] takes ${wanted} bytes, got ${got}`);
  }
}
