/**
 * Hestia.
 *
 * @module
 */

export { applyFused, constant, isTensor, type Operand, type ReduceOptions, Tensor } from "./src/tensor.ts";
export {
  arange,
  full,
  type NestedNumbers,
  ones,
  randomBits,
  randomNormal,
  type RandomOptions,
  randomSigns,
  randomUniform,
  tensor,
  type TensorOptions,
  zeros,
} from "./src/create.ts";
export { type Arguments, compile, type CompileOptions, realize } from "./src/trace.ts";
export { gradients } from "./src/autodiff/gradients.ts";
export { hessianVectorProduct } from "./src/autodiff/hessian.ts";
export { type BackendInfo, backendInfo, type BackendName, useBackend } from "./src/runtime.ts";
export type { DType, TensorData } from "./src/core/dtype.ts";
export type { Shape } from "./src/core/shape.ts";
