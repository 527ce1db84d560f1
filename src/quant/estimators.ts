/**
 * Gradients by decree: values with a derivative that is not their own.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";

/** `value`, with the derivative of `x`: the straight-through estimator (Bengio, Léonard and Courville, 2013). Exact in value. */
export function straightThrough(value: Tensor, x: Tensor): Tensor {
  return value.stopGradient().add(x.sub(x.stopGradient()));
}

/** `x`, with its derivative times `factor`. Exact in value. */
export function scaledGradient(x: Tensor, factor: number): Tensor {
  const constant = x.stopGradient();
  return constant.add(x.sub(constant).mul(factor));
}
