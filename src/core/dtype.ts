/**
 * Element types, and the typed arrays that carry them on the host.
 *
 * @module
 */

import { atCaller } from "./errors.ts";

/** Element type of a tensor. `float16` is a storage type: arithmetic on it happens in float32. Comparisons give `uint32` zeros and ones. */
export type DType = "float32" | "float16" | "int32" | "uint32";

/**
 * Host memory of a tensor, row-major. Floating-point dtypes come back as `Float32Array` from a GPU and as `Float64Array` from the
 * reference backend, which computes in float64.
 */
export type TensorData =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>;

/** Bytes of one element as a device stores it. */
export const bytesPerElement = { float32: 4, float16: 2, int32: 4, uint32: 4 } as const satisfies Record<DType, number>;

/** Whether the dtype is a floating-point one, and so takes part in differentiation. */
export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float16";
}

/** Throws a TypeError at the caller unless a dtype holds a number: floats hold all, rounded. */
export function requireHeld(dtype: DType, value: number, action: string, instead = ""): void {
  if (isFloat(dtype)) return;
  const [low, high] = dtype === "int32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw atCaller(new TypeError(`Cannot ${action}: wanted an integer from ${low} to ${high}${instead}`));
}

/** The nearest float32 that the dtype holds: integers saturate, as in WGSL, rather than wrap around as typed arrays do. */
export function saturate(value: number, dtype: DType): number {
  if (isFloat(dtype)) return value;
  const [lowest, highest] = dtype === "int32" ? [-(2 ** 31), 2 ** 31 - 128] : [0, 2 ** 32 - 256];
  return Math.min(highest, Math.max(lowest, value));
}

/** Host array of `length` zeros in the widest type of the dtype's kind: float64 for floats. */
export function wideArray(dtype: DType, length: number): TensorData {
  if (length >= 2 ** 32) throw new RangeError(`Cannot hold ${length} numbers in one array: wanted fewer than 4294967296`);
  if (isFloat(dtype)) return new Float64Array(length);
  return dtype === "int32" ? new Int32Array(length) : new Uint32Array(length);
}
