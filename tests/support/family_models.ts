/**
 * Small checkpoints of each family, as transformers writes them, with random weights.
 *
 * @module
 */

import type { SafetensorsSource } from "../../src/io/safetensors.ts";
import { writeCheckpointTensors } from "../../src/io/safetensors_shards.ts";
import { bytesOf } from "../../src/io/bytes.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../src/io/float16.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { type ConfigJson, shapesOf } from "./float64_llama.ts";
import { noise } from "./numbers.ts";

const sizes = {
  vocab_size: 256,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 128,
  hidden_act: "silu",
  initializer_range: 0.02,
  use_cache: true,
  bos_token_id: null,
  eos_token_id: null,
};

/** `config.json` of each family, some in the spelling of transformers 4 and some in that of 5. */
export const familyConfigs: Readonly<Record<string, ConfigJson>> = {
  "Llama 2": {
    ...sizes,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    num_key_value_heads: 4,
    rope_theta: 10_000,
    rope_scaling: null,
    tie_word_embeddings: false,
    pretraining_tp: 1,
    torch_dtype: "float16",
    transformers_version: "4.31.0",
  },
  "Llama 3.2": {
    ...sizes,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    head_dim: 16,
    attention_bias: false,
    mlp_bias: false,
    rope_parameters: {
      rope_theta: 500_000,
      rope_type: "llama3",
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
    tie_word_embeddings: true,
    dtype: "bfloat16",
    transformers_version: "5.0.0",
  },
  "Llama with all biases and linear positions": {
    ...sizes,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    attention_bias: true,
    mlp_bias: true,
    rope_theta: 10_000,
    rope_scaling: { type: "linear", factor: 4 },
    tie_word_embeddings: true,
    torch_dtype: "float32",
  },
  SmolLM2: {
    ...sizes,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    is_llama_config: true,
    rope_interleaved: false,
    rope_theta: 100_000,
    rope_scaling: null,
    tie_word_embeddings: true,
    "transformers.js_config": { kv_cache_dtype: { q4f16: "float16", fp16: "float16" } },
    torch_dtype: "bfloat16",
  },
  Mistral: {
    ...sizes,
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    sliding_window: null,
    head_dim: 32,
    rope_theta: 1_000_000,
    tie_word_embeddings: false,
    attention_dropout: 0,
    torch_dtype: "bfloat16",
  },
  Qwen2: {
    ...sizes,
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    rope_theta: 1_000_000,
    sliding_window: 4096,
    use_sliding_window: false,
    max_window_layers: 21,
    attention_dropout: 0,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-6,
    torch_dtype: "bfloat16",
  },
  "Qwen2 with yarn": {
    ...sizes,
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    rope_theta: 10_000,
    rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 32 },
    use_sliding_window: false,
    tie_word_embeddings: false,
    torch_dtype: "float16",
  },
  Qwen3: {
    ...sizes,
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    head_dim: 32,
    attention_bias: false,
    rope_parameters: { rope_theta: 1_000_000, rope_type: "default" },
    layer_types: ["full_attention", "full_attention"],
    sliding_window: null,
    use_sliding_window: false,
    max_window_layers: 2,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-6,
    dtype: "bfloat16",
  },
  "Qwen3 with yarn": {
    ...sizes,
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    head_dim: 16,
    attention_bias: false,
    rope_parameters: {
      rope_theta: 10_000,
      rope_type: "yarn",
      factor: 8,
      original_max_position_embeddings: 16,
      attention_factor: 1.3,
      beta_fast: 16,
      beta_slow: 2,
    },
    tie_word_embeddings: false,
    dtype: "float32",
  },
};

const narrow = {
  float32: { dtype: "F32", rounded: (x: Float32Array<ArrayBuffer>) => x, bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(x) },
  float16: {
    dtype: "F16",
    rounded: (x: Float32Array<ArrayBuffer>) => float16ToFloat32(float32ToFloat16(x)),
    bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(float32ToFloat16(x)),
  },
  bfloat16: {
    dtype: "BF16",
    rounded: (x: Float32Array<ArrayBuffer>) => bfloat16ToFloat32(float32ToBfloat16(x)),
    bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(float32ToBfloat16(x)),
  },
} as const;

/** The dtype that a config names. */
export const dtypeOf = (json: ConfigJson): keyof typeof narrow => json.dtype ?? json.torch_dtype;

/** Weights that give predictions about as sure as those of a trained model, rounded to the config's dtype; the same for the same seed. */
export function randomWeights(json: ConfigJson, seed = 1): Record<string, Float32Array<ArrayBuffer>> {
  const { rounded } = narrow[dtypeOf(json)];
  return Object.fromEntries(
    Object.entries(shapesOf(json)).map(([name, shape], at) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const isGain = name.endsWith("norm.weight");
      const [low, high] = isGain ? [0.5, 1.5] : name.endsWith(".bias") ? [-0.5, 0.5] : [-0.3, 0.3];
      return [name, rounded(noise(size, { seed: seed + at, low, high }))];
    }),
  );
}

/** Writes a checkpoint, and a tokenizer of bytes, unless told otherwise. */
export async function writeCheckpoint(
  folder: string,
  json: ConfigJson,
  weights: Readonly<Record<string, Float32Array<ArrayBuffer>>>,
  { maxShardBytes = Infinity, files = {} }: { maxShardBytes?: number; files?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const { dtype, bytes } = narrow[dtypeOf(json)];
  const shapes = shapesOf(json);
  const tensors = Object.entries(weights).map(([name, values]): [string, SafetensorsSource] => {
    return [name, { dtype, shape: shapes[name] ?? [values.length], pieces: () => [bytes(values)] }];
  });
  await writeCheckpointTensors(folder, Object.fromEntries(tensors), { maxShardBytes });
  const others = {
    "tokenizer.json": JSON.stringify(byteTokenizer.toJSON()),
    "config.json": JSON.stringify(json, null, 2),
    ...files,
  };
  for (const [name, text] of Object.entries(others)) await Deno.writeTextFile(`${folder}/${name}`, text);
}
