/**
 * Names, shapes and first values of a Llama model's parameters, as Hugging Face checkpoints name them.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { checkOptions, notNegative, positive, seed as anySeed, whole } from "../core/options.ts";
import type { Shape } from "../core/shape.ts";
import { ones, randomNormal, zeros } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";
import type { LlamaConfig } from "./config.ts";
import { familyOf } from "./families.ts";
import type { LlamaModel } from "./model.ts";

/** Parameters by Hugging Face name. */
export type Parameters = Readonly<Record<string, Tensor>>;

/** Linear maps of one layer, which quantizers act on. */
export const layerLinears = [
  "self_attn.q_proj",
  "self_attn.k_proj",
  "self_attn.v_proj",
  "self_attn.o_proj",
  "mlp.gate_proj",
  "mlp.up_proj",
  "mlp.down_proj",
] as const satisfies readonly LayerLinear[];

/** Name of a linear map of a layer, such as `mlp.up_proj`. */
export type LayerLinear =
  | "self_attn.q_proj"
  | "self_attn.k_proj"
  | "self_attn.v_proj"
  | "self_attn.o_proj"
  | "mlp.gate_proj"
  | "mlp.up_proj"
  | "mlp.down_proj";

function layerShapes(config: LlamaConfig): Record<string, Shape> {
  const { hiddenSize, intermediateSize, headDim, biases = [], queryKeyNorms = false } = config;
  const [queries, keys] = [config.heads * config.headDim, config.keyValueHeads * config.headDim];
  const shapes: Record<string, Shape> = {
    "input_layernorm.weight": [hiddenSize],
    "self_attn.q_proj.weight": [queries, hiddenSize],
    "self_attn.k_proj.weight": [keys, hiddenSize],
    "self_attn.v_proj.weight": [keys, hiddenSize],
    "self_attn.o_proj.weight": [hiddenSize, queries],
    "post_attention_layernorm.weight": [hiddenSize],
    "mlp.gate_proj.weight": [intermediateSize, hiddenSize],
    "mlp.up_proj.weight": [intermediateSize, hiddenSize],
    "mlp.down_proj.weight": [hiddenSize, intermediateSize],
  };
  for (const linear of biases) shapes[`${linear}.bias`] = [shapes[`${linear}.weight`][0]];
  return queryKeyNorms ? { ...shapes, "self_attn.q_norm.weight": [headDim], "self_attn.k_norm.weight": [headDim] } : shapes;
}

/** Layers that a model has at most: what a file says is believed up to here, before anything is made for each. */
export const mostLayers = 10_000;

/**
 * Shape of each parameter by name, in the order of the layers. Linear maps are `[out, in]`. Throws a `RangeError` where there are more than
 * 10 000 layers.
 */
export function parameterShapes(config: LlamaConfig): Record<string, Shape> {
  if (config.layers > mostLayers) {
    throw new RangeError(`Cannot list the parameters of a model of ${config.layers} layers: wanted at most ${mostLayers}`);
  }
  const shapes: Record<string, Shape> = { "model.embed_tokens.weight": [config.vocabularySize, config.hiddenSize] };
  for (let layer = 0; layer < config.layers; layer++) {
    for (const [name, shape] of Object.entries(layerShapes(config))) shapes[`model.layers.${layer}.${name}`] = shape;
  }
  shapes["model.norm.weight"] = [config.hiddenSize];
  if (!config.tieEmbeddings) shapes["lm_head.weight"] = [config.vocabularySize, config.hiddenSize];
  return shapes;
}

/**
 * Names of the weights that quantizers act on: the linear maps of the layers, not the embedding, the norms or the head.
 *
 * @example
 * ```ts
 * import { initialModel, quantizedNames } from "@hestia/hestia";
 * const { config } = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * console.log(quantizedNames(config).length); // 7: four of attention, three of the feed-forward layer
 * ```
 */
export function quantizedNames(config: LlamaConfig): string[] {
  return Array.from(
    { length: config.layers },
    (_, layer) => layerLinears.map((linear) => `model.layers.${layer}.${linear}.weight`),
  ).flat();
}

/** Whether a parameter is the gain of a normalisation, which is not decayed. */
export function isNorm(name: string): boolean {
  return name.endsWith("norm.weight");
}

/** Whether a parameter is a bias of a linear map. */
export function isBias(name: string): boolean {
  return name.endsWith(".bias");
}

/** Fresh parameters: normal with standard deviation `deviation`, gains one, biases zero; the same for the same seed. */
export function initialParameters(
  config: LlamaConfig,
  { seed, deviation = 0.02 }: { seed: number; deviation?: number },
): Parameters {
  const entries = Object.entries(parameterShapes(config));
  const fresh = (shape: Shape, index: number) =>
    randomNormal(shape, { seed: (seed + Math.imul(index + 1, 0x85ebca6b)) >>> 0 }).mul(deviation);
  const values = entries.map(([name, shape], index) =>
    isNorm(name) ? ones(shape) : isBias(name) ? zeros(shape) : fresh(shape, index)
  );
  const realized = realize(values);
  return Object.fromEntries(entries.map(([name], index) => [name, realized[index]]));
}

/** Sizes that a new model must be given; the rest has defaults. */
export type NewLlamaConfig =
  & Pick<LlamaConfig, "vocabularySize" | "hiddenSize" | "layers" | "heads" | "keyValueHeads" | "intermediateSize">
  & Partial<LlamaConfig>;

/**
 * A model to train from scratch. Its heads have `hiddenSize / heads` dimensions and its head is tied to the embedding unless told otherwise.
 *
 * @throws RangeError that names the size which does not fit the others
 *
 * @example
 * ```ts
 * import { initialModel } from "@hestia/hestia";
 * const { config, parameters } = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * console.log(config.headDim, `${parameters["model.embed_tokens.weight"]}`); // 8, float32[256,16]
 * ```
 */
export function initialModel(config: NewLlamaConfig, options: { seed: number; deviation?: number }): LlamaModel {
  const full: LlamaConfig = {
    headDim: config.hiddenSize / config.heads,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    tieEmbeddings: true,
    maxPositions: 2048,
    ...ofFamily(config),
    ...config,
  };
  checkSizes(full);
  checkOptions("Cannot make a model with the", options, { seed: anySeed, deviation: notNegative });
  return { config: full, parameters: initialParameters(full, options) };
}

/** Biases and norms that every model of the family has. */
function ofFamily(config: NewLlamaConfig): Pick<LlamaConfig, "biases" | "queryKeyNorms"> {
  const family = familyOf(config);
  const biases = family.biases({});
  return { ...(biases.length > 0 ? { biases } : {}), ...(family.queryKeyNorms ? { queryKeyNorms: true } : {}) };
}

function checkSizes(config: LlamaConfig): void {
  const refuse = (why: string) => atCaller(new RangeError(`Cannot make a model: ${why}`));
  for (const name of ["vocabularySize", "hiddenSize", "layers", "heads", "keyValueHeads", "intermediateSize"] as const) {
    const size = config[name];
    if (!(Number.isInteger(size) && size > 0)) throw refuse(`${name} must be a positive integer, got ${size}`);
  }
  checkOptions("Cannot make a model with the", config, { normEpsilon: positive, ropeTheta: positive, maxPositions: whole(1) });
  const { heads, keyValueHeads, headDim } = config;
  if (!(headDim > 0 && headDim % 2 === 0)) throw refuse(`headDim (hiddenSize / heads by default) must be even, got ${headDim}`);
  if (heads % keyValueHeads !== 0) throw refuse(`heads (${heads}) must be a multiple of keyValueHeads (${keyValueHeads})`);
}
