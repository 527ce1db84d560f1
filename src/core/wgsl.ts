/**
 * Numbers and types as WGSL text.
 *
 * @module
 */

import type { DType } from "./dtype.ts";

const computedType = { float32: "f32", float16: "f32", int32: "i32", uint32: "u32" } as const satisfies Record<DType, string>;
const storedType = { ...computedType, float16: "f16" } as const satisfies Record<DType, string>;

/** Type that kernels compute with: of one element, or of four neighbours. */
export function wgslType(dtype: DType, wide = false): string {
  return wide ? `vec4<${computedType[dtype]}>` : computedType[dtype];
}

/** Type of buffer elements: of one element, or of four neighbours. */
export function wgslStoredType(dtype: DType, wide = false): string {
  return wide ? `vec4<${storedType[dtype]}>` : storedType[dtype];
}

/** A number as a WGSL literal of the dtype. */
export function wgslLiteral(value: number, dtype: DType): string {
  if (dtype === "uint32") return `${value >>> 0}u`;
  if (dtype === "int32") return `i32(${value | 0})`;
  const rounded = dtype === "float16" ? Math.f16round(value) : Math.fround(value);
  // WGSL has no literal for infinities and NaN, and rejects constant expressions that give them
  if (rounded === -Infinity) return "bitcast<f32>(0xff800000u ^ zero_bits)";
  if (rounded === Infinity) return "bitcast<f32>(0x7f800000u ^ zero_bits)";
  if (Number.isNaN(rounded)) return "bitcast<f32>(0x7fc00000u ^ zero_bits)";
  if (Object.is(rounded, -0)) return "bitcast<f32>(0x80000000u ^ zero_bits)"; // the sign of a literal may be ignored
  return /[.e]/.test(`${rounded}`) ? `${rounded}f` : `${rounded}.0f`;
}

/** A constant operand. A zero that a driver knows would make a product zero whatever the other factor is, NaN or infinity. */
export function wgslConstant(value: number, dtype: DType): string {
  const literal = wgslLiteral(value, dtype);
  return literal === "0.0f" ? "bitcast<f32>(zero_bits)" : literal;
}

/** Whether an element (each of four, where `wide`) is NaN, by its bits: drivers may assume that there is no NaN. */
export function wgslIsNaN(x: string, wide: boolean): string {
  const type = wgslType("int32", wide);
  return `((bitcast<${type}>(${x}) & ${type}(0x7fffffff)) > ${type}(0x7f800000))`;
}

/** Zero of a dtype, as kernels compute with it. */
export function zero(dtype: DType): string {
  return dtype === "uint32" ? "0u" : dtype === "int32" ? "0i" : "0.0f";
}

/** A vector from its four elements. */
export function fourOf(element: (lane: number) => string, type: string): string {
  return `${type}(${[0, 1, 2, 3].map(element).join(", ")})`;
}
