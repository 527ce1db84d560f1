/**
 * The metadata that llama.cpp wants of a model, apart from its tokenizer.
 *
 * @module
 */

import type { GgufMetadata, GgufValue } from "../io/gguf.ts";
import { attentionFactor, inverseFrequencies, type Llama3Scaling, type RopeScaling, yarnSize } from "../nn/rotary.ts";
import type { LlamaConfig } from "./config.ts";
import { families, familyNames, familyOf } from "./families.ts";
import { hestiaKeys } from "./gguf_fields.ts";
import { layerLinears } from "./parameters.ts";

const uint32 = (value: number): GgufValue => ({ type: "uint32", value });
const float32 = (value: number): GgufValue => ({ type: "float32", value });
const text = (value: string): GgufValue => ({ type: "string", value });

/**
 * Metadata of a model apart from its tokenizer. `options.name` is what people call the model.
 *
 * @throws RangeError where llama.cpp has no place for something that the model computes
 */
export function llamaGgufMetadata(config: LlamaConfig, options: { name?: string } = {}): GgufMetadata {
  refuseUnsayable(config);
  const { gguf } = familyOf(config);
  const { family = "llama" } = config;
  const sameName = familyNames.filter((name) => families[name].gguf === gguf);
  const own: GgufMetadata = {
    vocab_size: uint32(config.vocabularySize),
    context_length: uint32(config.maxPositions),
    embedding_length: uint32(config.hiddenSize),
    block_count: uint32(config.layers),
    feed_forward_length: uint32(config.intermediateSize),
    "attention.head_count": uint32(config.heads),
    "attention.head_count_kv": uint32(config.keyValueHeads),
    "attention.key_length": uint32(config.headDim),
    "attention.value_length": uint32(config.headDim),
    "attention.layer_norm_rms_epsilon": float32(config.normEpsilon),
    "rope.dimension_count": uint32(config.headDim),
    "rope.freq_base": float32(config.ropeTheta),
    ...scalingMetadata(config.ropeScaling),
  };
  return {
    "general.architecture": text(gguf),
    "general.name": text(options.name ?? family[0].toUpperCase() + family.slice(1)),
    "general.quantization_version": uint32(2),
    ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${gguf}.${key}`, value])),
    ...(family === sameName[0] ? {} : { [hestiaKeys.family]: text(family) }),
    ...llama3Metadata(config),
  };
}

/** Keys of scalings that llama.cpp computes itself: yarn with 0.1 ln(factor) + 1 times `attn_factor`. */
function scalingMetadata(scaling: RopeScaling | undefined): GgufMetadata {
  if (scaling?.type === "linear") return { "rope.scaling.type": text("linear"), "rope.scaling.factor": float32(scaling.factor) };
  if (scaling?.type !== "yarn") return {};
  const { betaFast = 32, betaSlow = 1 } = scaling;
  const size = attentionFactor(scaling) / yarnSize(scaling.factor);
  return {
    "rope.scaling.type": text("yarn"),
    "rope.scaling.factor": float32(scaling.factor),
    "rope.scaling.original_context_length": uint32(scaling.originalMaxPositions),
    ...(betaFast === 32 ? {} : { "rope.scaling.yarn_beta_fast": float32(betaFast) }),
    ...(betaSlow === 1 ? {} : { "rope.scaling.yarn_beta_slow": float32(betaSlow) }),
    ...(Math.abs(size - 1) < 1e-9 ? {} : { "rope.scaling.attn_factor": float32(size) }),
  };
}

/** Fields of Llama 3's scaling, which llama.cpp has as a tensor of factors, and we as keys of our own besides. */
export const llama3Keys = ["factor", "lowFrequencyFactor", "highFrequencyFactor", "originalMaxPositions"] as const;

function llama3Metadata({ ropeScaling }: LlamaConfig): GgufMetadata {
  if (!isLlama3(ropeScaling)) return {};
  return Object.fromEntries(llama3Keys.map((key) => [hestiaKeys[key], float32(ropeScaling[key])]));
}

function isLlama3(scaling: RopeScaling | undefined): scaling is Llama3Scaling {
  return scaling !== undefined && (scaling.type ?? "llama3") === "llama3";
}

/**
 * Values of `rope_freqs.weight`: by how much each pair of dimensions turns slower than plain rope, `headDim / 2` of them; `undefined` for a
 * model without the scaling of Llama 3, which has no such tensor.
 */
export function ropeFactors(config: LlamaConfig): Float32Array<ArrayBuffer> | undefined {
  const { headDim, ropeTheta: theta, ropeScaling: scaling } = config;
  if (!isLlama3(scaling)) return undefined;
  const plain = inverseFrequencies({ headDim, theta });
  return Float32Array.from(inverseFrequencies({ headDim, theta, scaling }), (frequency, pair) => plain[pair] / frequency);
}

/** Throws a RangeError for what llama.cpp does not compute for the family. */
function refuseUnsayable(config: LlamaConfig): void {
  const { family: name = "llama", biases = [], queryKeyNorms = false, ropeScaling } = config;
  const family = familyOf(config);
  const refuse = (what: string) => {
    throw new RangeError(
      `Cannot write a ${name} model to GGUF: llama.cpp has no place for ${what} in its architecture "${family.gguf}"`,
    );
  };
  const bias = layerLinears.find((linear) => biases.includes(linear) && !family.ggufBiases.includes(linear));
  if (bias) refuse(`biases of ${bias}`);
  if (queryKeyNorms !== family.queryKeyNorms) refuse(`${queryKeyNorms ? "" : "a lack of "}norms of queries and keys`);
  if (isLlama3(ropeScaling) && !family.ggufRopeFactors) refuse("the rope scaling of Llama 3");
  if (ropeScaling?.type === "yarn" && ropeScaling.truncate === false) refuse("yarn without truncation");
}
