/**
 * The metadata that llama.cpp wants of a Llama model, apart from its tokenizer.
 *
 * @module
 */

import type { GgufMetadata } from "../io/gguf.ts";

/** The fields of a Hugging Face `config.json` that a GGUF file needs. */
export interface LlamaConfigJson {
  /** Rows of the embedding. */
  readonly vocab_size: number;
  /** Width of the residual stream. */
  readonly hidden_size: number;
  /** Transformer blocks. */
  readonly num_hidden_layers: number;
  /** Query heads. */
  readonly num_attention_heads: number;
  /** As many as query heads by default. */
  readonly num_key_value_heads?: number;
  /** `hidden_size / num_attention_heads` by default. */
  readonly head_dim?: number;
  /** Width of the feed-forward layer. */
  readonly intermediate_size: number;
  /** Added to the mean square under the root. */
  readonly rms_norm_eps: number;
  /** Base of the rope wavelengths. */
  readonly rope_theta: number;
  /** Longest context, in tokens. */
  readonly max_position_embeddings: number;
  /** How rope is stretched for long contexts; none by default. */
  readonly rope_scaling?: RopeScalingJson | null;
}

/** The `rope_scaling` of a Hugging Face `config.json`. */
export interface RopeScalingJson {
  /** `"default"` or `"llama3"`. */
  readonly rope_type: string;
  /** By how much the longest wavelengths grow. */
  readonly factor?: number;
  /** Original context over this: wavelengths above it grow by the whole factor. */
  readonly low_freq_factor?: number;
  /** Original context over this: wavelengths below it stay. */
  readonly high_freq_factor?: number;
  /** Tokens. */
  readonly original_max_position_embeddings?: number;
}

/** Metadata of a Llama model apart from its tokenizer. `options.name` is what people call the model. */
export function llamaGgufMetadata(config: LlamaConfigJson, options: { name?: string } = {}): GgufMetadata {
  const headWidth = headWidthOf(config);
  const uint32 = (value: number) => ({ type: "uint32", value }) as const;
  return {
    "general.architecture": { type: "string", value: "llama" },
    "general.name": { type: "string", value: options.name ?? "Llama" },
    "general.quantization_version": uint32(2),
    "llama.vocab_size": uint32(config.vocab_size),
    "llama.context_length": uint32(config.max_position_embeddings),
    "llama.embedding_length": uint32(config.hidden_size),
    "llama.block_count": uint32(config.num_hidden_layers),
    "llama.feed_forward_length": uint32(config.intermediate_size),
    "llama.attention.head_count": uint32(config.num_attention_heads),
    "llama.attention.head_count_kv": uint32(config.num_key_value_heads ?? config.num_attention_heads),
    "llama.attention.key_length": uint32(headWidth),
    "llama.attention.value_length": uint32(headWidth),
    "llama.attention.layer_norm_rms_epsilon": { type: "float32", value: config.rms_norm_eps },
    "llama.rope.dimension_count": uint32(headWidth),
    "llama.rope.freq_base": { type: "float32", value: config.rope_theta },
  };
}

function headWidthOf(config: LlamaConfigJson): number {
  return config.head_dim ?? config.hidden_size / config.num_attention_heads;
}

/**
 * Values of `rope_freqs.weight`: by how much each pair of dimensions turns slower than plain rope, `head_dim / 2` of them;
 * `undefined` for a model without rope scaling, which has no such tensor. Formula of Llama 3: 1 for wavelengths below original
 * context / high_freq_factor, `factor` for those above original context / low_freq_factor, smooth between. Throws a `RangeError`
 * for another `rope_type`.
 */
export function ropeFactors(config: LlamaConfigJson): Float32Array<ArrayBuffer> | undefined {
  const scaling = config.rope_scaling;
  if (!scaling || scaling.rope_type === "default") return undefined;
  const { rope_type, factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling;
  if (rope_type !== "llama3" || !factor || !low || !high || !context) {
    throw new RangeError(
      `Cannot compute rope factors of ${JSON.stringify(scaling)}: wanted rope_type "llama3" with factor, low_freq_factor, ` +
        `high_freq_factor and original_max_position_embeddings`,
    );
  }
  const width = headWidthOf(config);
  return Float32Array.from({ length: width / 2 }, (_, pair) => {
    const wavelength = 2 * Math.PI * config.rope_theta ** (2 * pair / width);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
