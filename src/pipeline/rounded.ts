/**
 * The model that a quantizer makes of latent weights.
 *
 * @module
 */

import { partsOf } from "../core/names.ts";
import type { Quantization } from "../llama/checkpoint.ts";
import { biasName, type LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { realize } from "../trace.ts";

/**
 * The model that is packed in the end, with its weights as float32: the linear maps of the layers rounded, all else as it is. A model
 * without `quantization` is returned as it is, since its parameters are what it computes with. The other parameters are shared. Where the
 * quantizer adds a bias, it is among the parameters, under Hugging Face's name.
 *
 * @example
 * ```ts
 * import { initialModel, roundedModel } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const { parameters } = roundedModel({ ...model, quantization: { quantizer: "ternary", groupSize: 0 } });
 * console.log(new Set(await parameters["model.layers.0.mlp.up_proj.weight"].data()).size); // 3
 * ```
 */
export function roundedModel<M extends LlamaModel & { readonly quantization?: Quantization }>(model: M): M {
  const { quantization, config, parameters } = model;
  if (!quantization) return model;
  const quantizer = quantizerNamed(quantization.quantizer);
  const names = quantizedNames(config);
  const entries = names.flatMap((name) => {
    const { groupSize, scaleDtype } = quantization;
    const state = { groupSize, scaleDtype, hard: true, parameters: partsOf(quantization.parameters ?? {}, name) };
    const bias = quantizer.bias?.(parameters[name], state);
    const weight = quantizer.quantize(parameters[name], state);
    return [[name, weight] as const, ...bias ? [[biasName(name), bias] as const] : []];
  });
  const rounded = realize(entries.map(([, value]) => value));
  return {
    ...model,
    parameters: { ...parameters, ...Object.fromEntries(entries.map(([name], index) => [name, rounded[index]])) },
  };
}
