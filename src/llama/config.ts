/**
 * Architecture of a Llama model, and its form in Hugging Face's `config.json`.
 *
 * @module
 */

import type { RopeScaling } from "../nn/rotary.ts";

/** Sizes of a Llama-3.2 model. */
export interface LlamaConfig {
  /** Token ids are below it. */
  readonly vocabularySize: number;
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Decoder layers. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads, shared by groups of query heads. */
  readonly keyValueHeads: number;
  /** Dimensions of a head; even. */
  readonly headDim: number;
  /** Width inside of the feed-forward layers. */
  readonly intermediateSize: number;
  /** Added to the mean square in each normalisation. */
  readonly normEpsilon: number;
  /** Base of the wave lengths of the rotary embedding. */
  readonly ropeTheta: number;
  /** Frequency scaling for long contexts; absent where there is none. */
  readonly ropeScaling?: RopeScaling;
  /** Whether the output head is the embedding table. */
  readonly tieEmbeddings: boolean;
  /** Longest context, in tokens. */
  readonly maxPositions: number;
}

/** The fields of Hugging Face's `config.json` that matter here. */
export interface HuggingFaceConfig {
  /** "llama", or absent. */
  readonly model_type?: string;
  /** `vocabularySize`. */
  readonly vocab_size: number;
  /** `hiddenSize`. */
  readonly hidden_size: number;
  /** `layers`. */
  readonly num_hidden_layers: number;
  /** `heads`; a multiple of `num_key_value_heads`. */
  readonly num_attention_heads: number;
  /** `keyValueHeads`; `num_attention_heads` by default. */
  readonly num_key_value_heads?: number;
  /** `headDim`; `hidden_size / num_attention_heads` by default. */
  readonly head_dim?: number;
  /** `intermediateSize`. */
  readonly intermediate_size: number;
  /** `normEpsilon`; 1e-6 by default. */
  readonly rms_norm_eps?: number;
  /** `ropeTheta`; 10 000 by default. */
  readonly rope_theta?: number;
  /** `ropeScaling`: of type "llama3", or none. */
  readonly rope_scaling?: {
    readonly rope_type?: string;
    readonly type?: string;
    readonly factor: number;
    readonly low_freq_factor: number;
    readonly high_freq_factor: number;
    readonly original_max_position_embeddings: number;
  } | null;
  /** `tieEmbeddings`; false by default. */
  readonly tie_word_embeddings?: boolean;
  /** `maxPositions`; 2048 by default. */
  readonly max_position_embeddings?: number;
}

function positive(json: HuggingFaceConfig, field: keyof HuggingFaceConfig): number {
  const value = json[field];
  if (typeof value !== "number" || !(value > 0)) {
    throw new TypeError(`Cannot read the model's config: ${field} must be a positive number, got ${value}`);
  }
  return value;
}

function ropeScaling({ rope_scaling: scaling }: HuggingFaceConfig): RopeScaling | undefined {
  if (!scaling) return undefined;
  const type = scaling.rope_type ?? scaling.type;
  if (type === "default") return undefined;
  if (type !== "llama3") {
    throw new TypeError(
      `Cannot read the model's config: rope_scaling of type "${type}" is not supported, wanted "llama3" or none`,
    );
  }
  return {
    factor: scaling.factor,
    lowFrequencyFactor: scaling.low_freq_factor,
    highFrequencyFactor: scaling.high_freq_factor,
    originalMaxPositions: scaling.original_max_position_embeddings,
  };
}

/**
 * Reads Hugging Face's `config.json`. Throws a TypeError that names the field.
 *
 * @example
 * ```ts
 * import { llamaConfig } from "@hestia/hestia";
 * const config = llamaConfig({
 *   vocab_size: 256,
 *   hidden_size: 64,
 *   num_hidden_layers: 2,
 *   num_attention_heads: 4,
 *   intermediate_size: 128,
 * });
 * console.log(config.headDim, config.keyValueHeads); // 16, 4
 * ```
 */
export function llamaConfig(json: HuggingFaceConfig): LlamaConfig {
  if (json.model_type !== undefined && json.model_type !== "llama") {
    throw new TypeError(`Cannot read the model's config: model_type must be "llama", got "${json.model_type}"`);
  }
  const [hiddenSize, heads] = [positive(json, "hidden_size"), positive(json, "num_attention_heads")];
  const scaling = ropeScaling(json);
  const config: LlamaConfig = {
    vocabularySize: positive(json, "vocab_size"),
    hiddenSize,
    layers: positive(json, "num_hidden_layers"),
    heads,
    keyValueHeads: json.num_key_value_heads ?? heads,
    headDim: json.head_dim ?? hiddenSize / heads,
    intermediateSize: positive(json, "intermediate_size"),
    normEpsilon: json.rms_norm_eps ?? 1e-6,
    ropeTheta: json.rope_theta ?? 10_000,
    ...(scaling ? { ropeScaling: scaling } : {}),
    tieEmbeddings: json.tie_word_embeddings ?? false,
    maxPositions: json.max_position_embeddings ?? 2048,
  };
  if (config.heads % config.keyValueHeads !== 0) {
    throw new TypeError(
      `Cannot read the model's config: num_attention_heads (${heads}) must be a multiple of num_key_value_heads (${config.keyValueHeads})`,
    );
  }
  return config;
}

/** Hugging Face's `config.json` of a model. */
export function huggingFaceConfig(config: LlamaConfig): HuggingFaceConfig & Record<string, unknown> {
  const scaling = config.ropeScaling;
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headDim,
    intermediate_size: config.intermediateSize,
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: scaling
      ? {
        rope_type: "llama3",
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalMaxPositions,
      }
      : null,
    tie_word_embeddings: config.tieEmbeddings,
    max_position_embeddings: config.maxPositions,
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    torch_dtype: "float32",
  };
}
