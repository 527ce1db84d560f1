/**
 * The model that a quantizer makes of latent weights.
 *
 * @module
 */

import { partsOf } from "../core/names.ts";
import { describeNotFinite, notFiniteIn } from "../finite.ts";
import type { Quantization } from "../llama/checkpoint.ts";
import { biasName, type LlamaModel } from "../llama/model.ts";
import { type Parameters, quantizedNames } from "../llama/parameters.ts";
import type { Quantizer, QuantizerState } from "../quant/quantizer.ts";
import { quantizerNamed } from "../quant/registry.ts";
import type { Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";

/**
 * The model that is packed in the end, with its weights as float32: the linear maps of the layers rounded, all else as it is. A model
 * without `quantization` is returned as it is, since its parameters are what it computes with. The other parameters are shared. Where the
 * quantizer adds a bias, it is among the parameters, under Hugging Face's name.
 *
 * A weight that holds NaN gives groups of NaN, and a loss that `heldOutLoss` refuses by the weight's name.
 *
 * @throws RangeError that names a weight with NaN or infinity, where its numbers are still on the host
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
  const { quantizer: name, parameters: learned = {}, ...settings } = quantization;
  const quantizer = quantizerNamed(name);
  const names = quantizedNames(config);
  const state = { ...settings, hard: true };
  const known: Parameters = { ...parameters, ...learned };
  names.forEach((name) => refuseOnHost(name, parameters[name]));
  const entries = Object.entries(quantizedParameters(known, quantizer, names, () => state));
  const made = entries.filter(([name, value]) => value !== known[name]);
  const rounded = realize(made.map(([, value]) => value));
  return {
    ...model,
    parameters: { ...parameters, ...Object.fromEntries(made.map(([name], index) => [name, rounded[index]])) },
  };
}

/** Throws a RangeError where a weight that was not uploaded yet holds NaN or infinity; on the device they spread over its groups. */
function refuseOnHost(name: string, { node }: Tensor): void {
  const found = node.value?.host && notFiniteIn(node.value.host);
  if (found) throw new RangeError(`Cannot round: ${describeNotFinite({ name, ...found })}`);
}

/**
 * Parameters with the named weights quantized, and a bias after each where the quantizer adds one, to the model's own if it has one. What a quantizer learned is looked for
 * among the parameters, as `learnedParameters` names it.
 */
export function quantizedParameters(
  parameters: Parameters,
  quantizer: Quantizer,
  names: readonly string[],
  stateOf: (name: string) => QuantizerState,
): Record<string, Tensor> {
  const entries = names.flatMap((name) => {
    const state = { parameters: partsOf(parameters, name), ...stateOf(name) };
    const bias = quantizer.bias?.(parameters[name], state);
    const own = biasName(name);
    const sum = bias && Object.hasOwn(parameters, own) ? parameters[own].add(bias) : bias;
    return [[name, quantizer.quantize(parameters[name], state)], ...sum ? [[own, sum]] : []];
  });
  return { ...parameters, ...Object.fromEntries(entries) };
}
