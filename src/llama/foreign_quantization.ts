/**
 * How other trainers say that weights are latent: transformers' BitNet, whose layers round while they run, and ParetoQ, whose clip values,
 * one for each output channel, lie beside the weights.
 *
 * @module
 */

import { partName } from "../core/names.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import type { Checkpoint } from "../io/safetensors_file.ts";
import type { Tensor } from "../tensor.ts";
import type { Quantization } from "./checkpoint.ts";
import type { LlamaConfig } from "./config.ts";
import { quantizedNames } from "./parameters.ts";

/** Whether a `quantization_config` is that of BitNet layers which round latent weights while they run. */
export function isOnlineBitnet(quantization: unknown): boolean {
  return isJsonObject(quantization) && quantization.quant_method === "bitnet" && quantization.quantization_mode === "online";
}

/** The quantizer of these layers: the mean magnitude of a tensor is the scale, at least 1e-5, and a weight in the middle becomes zero. */
export const onlineBitnet: Quantization = {
  ...{ quantizer: "ternary", groupSize: 0 },
  ...{ scaleRule: "clamped", scaleEpsilon: 1e-5, tieRule: "zero" },
};

/** Behind the name of the weight. */
const ending = "_clip_val";

/** Names of the clip values of a checkpoint; all weights have one, or none has. */
export function clipNames({ tensors }: Checkpoint, config: LlamaConfig): string[] {
  return quantizedNames(config).map((name) => name + ending).filter((name) => tensors.has(name));
}

/**
 * The quantizer of latent weights with clip values: stretched elastic quantization, each channel with a range of its own.
 *
 * @throws RangeError where `config.json` does not say that the weights are ternary, or values are missing or of another shape
 */
export function clipQuantization(
  { w_bits: bits }: JsonObject,
  values: Readonly<Record<string, Tensor>>,
  { config, action }: { readonly config: LlamaConfig; readonly action: string },
): Quantization {
  if (bits !== 0) {
    throw new RangeError(
      `${action}: its tensors "…${ending}" belong to ParetoQ's quantizers, and w_bits of config.json says which: wanted 0, for ternary, ` +
        `got ${JSON.stringify(bits) ?? "none"}`,
    );
  }
  const ranges = quantizedNames(config).map((name) => {
    const value = values[name + ending];
    if (!value) throw new RangeError(`${action}: "${name}" has no "${name + ending}", as others have`);
    return [partName(name, "range"), value.reshape([value.size])] as const;
  });
  return { quantizer: "seq", groupSize: -1, parameters: Object.fromEntries(ranges) };
}
