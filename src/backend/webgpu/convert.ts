/**
 * Host arrays to device bytes and back.
 *
 * @module
 */

import type { DType, TensorData } from "../../core/dtype.ts";

/** Bytes as the device stores them, padded to a multiple of 4. */
export function toDevice(
  data: TensorData,
  dtype: DType,
  float16: boolean,
): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (dtype === "float16" && float16) {
    const halves = new Float16Array(Math.ceil(data.length / 2) * 2);
    halves.set(data);
    return new Uint32Array(halves.buffer);
  }
  if (dtype === "float16") return Float32Array.from(data, Math.f16round);
  if (dtype === "int32") return data instanceof Int32Array ? data : Int32Array.from(data);
  if (dtype === "uint32") return data instanceof Uint32Array ? data : Uint32Array.from(data);
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

/** The array in which elements of a dtype are read. */
export function hostArray(dtype: DType, length: number): TensorData {
  if (dtype === "int32") return new Int32Array(length);
  return dtype === "uint32" ? new Uint32Array(length) : new Float32Array(length);
}

/** Elements in mapped device memory, as they lie there. */
export function fromDevice(
  mapped: ArrayBuffer,
  offset: number,
  { length, dtype, float16 }: { readonly length: number; readonly dtype: DType; readonly float16: boolean },
): ArrayLike<number> {
  if (dtype === "float16" && float16) return new Float16Array(mapped, offset, length);
  if (dtype === "int32") return new Int32Array(mapped, offset, length);
  if (dtype === "uint32") return new Uint32Array(mapped, offset, length);
  return new Float32Array(mapped, offset, length);
}
