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

/** A copy of elements out of mapped device memory. */
export function fromDevice(mapped: ArrayBuffer, offset: number, length: number, dtype: DType, float16: boolean): TensorData {
  if (dtype === "float16" && float16) return Float32Array.from(new Float16Array(mapped, offset, length));
  if (dtype === "int32") return new Int32Array(mapped, offset, length).slice();
  if (dtype === "uint32") return new Uint32Array(mapped, offset, length).slice();
  return new Float32Array(mapped, offset, length).slice();
}
