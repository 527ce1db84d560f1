/**
 * Numbers as WGSL text.
 *
 * @module
 */

import type { DType } from "./dtype.ts";

/** A number as a WGSL literal of the dtype. */
export function wgslLiteral(value: number, dtype: DType): string {
  if (dtype === "uint32") return `${value >>> 0}u`;
  if (dtype === "int32") return `i32(${value | 0})`;
  // WGSL has no literal for infinities and NaN, and rejects constant expressions that give them
  if (value === -Infinity) return "bitcast<f32>(0xff800000u ^ zero_bits)";
  if (value === Infinity) return "bitcast<f32>(0x7f800000u ^ zero_bits)";
  if (Number.isNaN(value)) return "bitcast<f32>(0x7fc00000u ^ zero_bits)";
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}

/** Zero of a dtype, as kernels compute with it. */
export function zero(dtype: DType): string {
  return dtype === "uint32" ? "0u" : dtype === "int32" ? "0i" : "0.0f";
}
