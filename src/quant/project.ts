/**
 * The seam to models: linear maps whose weights are quantized on the way.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import type { Quantizer, QuantizerState } from "./quantizer.ts";

/**
 * Linear maps with quantized weights, for a model that asks for `project(name, x)`. Each weight is quantized once for each trace, however
 * often the model uses it.
 */
export function quantizedProject(
  parameters: Readonly<Record<string, Tensor>>,
  quantizer: Quantizer,
  stateOf: (name: string) => QuantizerState,
): (name: string, x: Tensor) => Tensor {
  const quantized = new Map<string, Tensor>();
  return (name, x) => {
    let weight = quantized.get(name);
    if (!weight) quantized.set(name, weight = quantizer.quantize(parameters[name], stateOf(name)));
    return x.matmul(weight.transpose());
  };
}
