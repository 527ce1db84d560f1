/**
 * Weights between files and the device, a piece at a time: what is stored in 16 bits travels so, and is widened and narrowed there.
 *
 * @module
 */

import { fromBits, packBfloat16, packFloat16, unpackBfloat16, unpackFloat16 } from "../bits.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { arange, tensor, zeros } from "../create.ts";
import { alignUp, type Bytes, bytesOf, viewAs } from "../io/bytes.ts";
import { elementBytes, tensorValues } from "../io/safetensors.ts";
import { writeRows } from "../nn/write_rows.ts";
import type { Tensor } from "../tensor.ts";
import { compile, realize } from "../trace.ts";

/** Elements that are sent without waiting for their arrival. */
const unnoticed = 1 << 20;

/** Element types of stored weights. */
export type StoredDType = "F32" | "F16" | "BF16" | "F64";

/** A tensor in a file: its type, and its bytes by position. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: Shape;
  /** Reads `length` bytes from `start` on. */
  readonly bytes: (start: number, length: number) => Promise<Uint8Array> | Uint8Array;
}

/** Elements that travel together by default: 128 MB as float32. */
const usualPiece = 1 << 25;

/** How {@linkcode uploaded} goes about it. */
export interface UploadOptions {
  /** "float16" holds the tensor in half precision; "float32" by default. */
  readonly keep?: "float32" | "float16";
  /** Of the tensor, for errors. */
  readonly name: string;
  /** Elements that travel together. */
  readonly pieceElements?: number;
}

/**
 * Puts a stored tensor on the device, where it is widened to float32; large ones in pieces, so that the host never holds more of them.
 *
 * @throws RangeError where a value is too large for half precision
 */
export async function uploaded(
  stored: StoredTensor,
  { keep = "float32", name, pieceElements = usualPiece }: UploadOptions,
): Promise<Tensor> {
  const { dtype, shape, bytes } = stored;
  const size = sizeOf(shape);
  const whole = size <= pieceElements || shape.length < 2;
  const single = whole
    ? widened(await bytes(0, size * elementBytes[dtype]), dtype, shape)
    : await inPieces(stored, pieceElements);
  if (whole && size > unnoticed) await arrived(single);
  if (keep === "float32") return single;
  if (dtype !== "F16") await checkHalf(single, `Cannot hold "${name}" in float16`);
  const [half] = realize([single.cast("float16")]);
  single.dispose();
  return half;
}

/** The float32 values of stored bytes, made on the device of the words that they are, which neither it nor the host keeps. */
function widened(bytes: Uint8Array, dtype: StoredDType, shape: Shape): Tensor {
  if (dtype === "F64") return widened(bytesOf(Float32Array.from(tensorValues({ dtype, shape, bytes }))), "F32", shape);
  const padded = bytes.length % 4 === 0 ? bytes : paddedBytes(bytes);
  const words = tensor(viewAs(padded, Uint32Array<ArrayBuffer>), { copy: false });
  const unpack = { F32: () => fromBits(words).reshape(shape), F16: unpackFloat16, BF16: unpackBfloat16 }[dtype];
  const [value] = realize([unpack(words, shape)]);
  words.dispose();
  return value;
}

function paddedBytes(bytes: Uint8Array): Bytes {
  const padded = new Uint8Array(alignUp(bytes.length, 4));
  padded.set(bytes);
  return padded;
}

/** Fresh rows over those of a table, in place. */
const placed = compile(({ table, rows, position }: { table: Tensor; rows: Tensor; position: Tensor }) => {
  const [count, width] = rows.shape;
  const inCache = table.reshape([1, 1, ...table.shape]);
  return { table: writeRows(inCache, rows.reshape([1, 1, count, width]), position).reshape(table.shape) };
}, { donate: ["table"] });

async function inPieces({ dtype, shape, bytes }: StoredTensor, pieceElements: number): Promise<Tensor> {
  const { rows, width, perPiece } = piecesOf(shape, pieceElements);
  let [table] = realize([zeros([rows, width])]);
  const rowBytes = width * elementBytes[dtype];
  for (let row = 0; row < rows; row += perPiece) {
    const count = Math.min(perPiece, rows - row);
    const piece = widened(await bytes(row * rowBytes, count * rowBytes), dtype, [count, width]);
    ({ table } = placed({ table, rows: piece, position: tensor(Uint32Array.of(row), { shape: [] }) }));
    piece.dispose();
    await arrived(table);
  }
  return table.reshape(shape);
}

/** Waits until the device has what was sent to it, so that copies on their way do not pile up. */
async function arrived(table: Tensor): Promise<void> {
  await table.reshape([table.size]).slice([0], [1]).data();
}

function piecesOf(shape: Shape, pieceElements: number): { rows: number; width: number; perPiece: number } {
  const width = shape.at(-1)!;
  const perPiece = Math.max(2, Math.floor(pieceElements / width / 2) * 2); // even, so that pieces of 16 bits are whole words
  return { rows: sizeOf(shape) / width, width, perPiece };
}

/** dtypes that weights are saved in. */
export type SavedDType = "float32" | "bfloat16" | "float16";

/** The names that safetensors has for them. */
export const savedDTypes = { float32: "F32", bfloat16: "BF16", float16: "F16" } as const satisfies Record<
  SavedDType,
  StoredDType
>;

/**
 * Bytes of a tensor in a dtype, a piece at a time, narrowed on the device.
 *
 * @throws RangeError that starts with `action` where a value is too large for half precision
 */
export async function* downloaded(
  x: Tensor,
  { dtype, action, pieceElements = usualPiece }: {
    readonly dtype: SavedDType;
    readonly action: string;
    readonly pieceElements?: number;
  },
): AsyncGenerator<Bytes> {
  if (x.size === 0) return;
  if (dtype === "float16" && x.dtype !== "float16") await checkHalf(x, action);
  if (x.size <= pieceElements || x.shape.length < 2) return yield await narrowed(x.cast("float32"), dtype);
  const { rows, width, perPiece } = piecesOf(x.shape, pieceElements);
  const table = x.reshape([rows, width]);
  for (let row = 0; row < rows; row += perPiece) {
    const count = Math.min(perPiece, rows - row);
    const indices = arange([count], { dtype: "uint32" }).add(tensor(Uint32Array.of(row), { shape: [] }));
    yield await narrowed(table.gather(indices).cast("float32"), dtype);
  }
}

/** Throws a RangeError that starts with `action` where half precision does not hold a value. */
export async function checkHalf(value: Tensor, action: string): Promise<void> {
  const largest = await value.cast("float32").abs().max().item();
  if (largest < 65520) return;
  throw new RangeError(`${action}: it holds ${largest}, wanted at most 65504 in magnitude`);
}

async function narrowed(value: Tensor, dtype: SavedDType): Promise<Bytes> {
  if (dtype === "float32") return bytesOf(Float32Array.from(await value.data()));
  const words = dtype === "bfloat16" ? packBfloat16(value) : packFloat16(value);
  return bytesOf(await words.data() as Uint32Array<ArrayBuffer>).subarray(0, 2 * value.size);
}
