/**
 * The seam to models: linear maps whose weights are quantized on the way.
 *
 * @module
 */

import { partName, partsOf } from "../core/names.ts";
import type { Tensor } from "../tensor.ts";
import type { Quantizer, QuantizerState } from "./quantizer.ts";

/**
 * Linear maps with quantized weights, for a model that asks for `project(name, x)`. Each weight is quantized once for each trace, however
 * often the model uses it. Learned parameters of the quantizer are looked for among `parameters`, as {@linkcode learnedParameters} names
 * them, unless the state has its own; a quantizer's bias is added to the product.
 */
export function quantizedProject(
  parameters: Readonly<Record<string, Tensor>>,
  quantizer: Quantizer,
  stateOf: (name: string) => QuantizerState,
): (name: string, x: Tensor) => Tensor {
  const quantized = new Map<string, { readonly weight: Tensor; readonly bias?: Tensor }>();
  const quantize = (name: string) => {
    const state = { parameters: partsOf(parameters, name), ...stateOf(name) };
    const weight = parameters[name];
    return { weight: quantizer.quantize(weight, state), bias: quantizer.bias?.(weight, state) };
  };
  return (name, x) => {
    let found = quantized.get(name);
    if (!found) quantized.set(name, found = quantize(name));
    const product = x.matmul(found.weight.transpose());
    return found.bias ? product.add(found.bias) : product;
  };
}

/**
 * Initial values of what the quantizer of each named weight learns, under names such as `model.layers.0.mlp.up_proj.weight#step`: to be
 * trained together with the weights. Empty for a quantizer that learns nothing.
 */
export function learnedParameters(
  weights: Readonly<Record<string, Tensor>>,
  quantizer: Quantizer,
  { names, groupSize }: { readonly names: readonly string[]; readonly groupSize: number },
): Record<string, Tensor> {
  return Object.fromEntries(names.flatMap((name) => {
    const own = quantizer.parameters?.(weights[name], { groupSize }) ?? {};
    return Object.entries(own).map(([part, value]) => [partName(name, part), value]);
  }));
}
