/**
 * Checkpoints with the exact shapes and configurations of public models, and random weights: seeded, written by the tests, never stored.
 *
 * @module
 */

import { bytesOf } from "../../src/io/bytes.ts";
import type { SafetensorsSource } from "../../src/io/safetensors.ts";
import { writeCheckpointTensors } from "../../src/io/safetensors_shards.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { type ConfigJson, shapesOf } from "./float64_llama.ts";

/** A public model: its `config.json`, and how many of its layers are made. */
interface RealModel {
  readonly json: ConfigJson;
  readonly layers: number;
}

/** Public models, in the spelling of transformers 4 or 5. */
const published: Readonly<Record<string, RealModel>> = {
  "SmolLM2-135M": {
    layers: 30,
    json: {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 0,
      eos_token_id: 0,
      hidden_act: "silu",
      hidden_size: 576,
      initializer_range: 0.041666666666666664,
      intermediate_size: 1536,
      is_llama_config: true,
      max_position_embeddings: 8192,
      model_type: "llama",
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
      pretraining_tp: 1,
      rms_norm_eps: 1e-05,
      rope_interleaved: false,
      rope_scaling: null,
      rope_theta: 100000,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      transformers_version: "4.40.1",
      use_cache: true,
      vocab_size: 49152,
    },
  },
  "TinyLlama-1.1B": {
    layers: 2,
    json: {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: "silu",
      hidden_size: 2048,
      initializer_range: 0.02,
      intermediate_size: 5632,
      max_position_embeddings: 2048,
      model_type: "llama",
      num_attention_heads: 32,
      num_hidden_layers: 22,
      num_key_value_heads: 4,
      pretraining_tp: 1,
      rms_norm_eps: 1e-05,
      rope_scaling: null,
      rope_theta: 10000.0,
      tie_word_embeddings: false,
      torch_dtype: "bfloat16",
      transformers_version: "4.35.0",
      use_cache: true,
      vocab_size: 32000,
    },
  },
  "Llama-3.2-1B": {
    layers: 16,
    json: {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 128000,
      eos_token_id: 128001,
      head_dim: 64,
      hidden_act: "silu",
      hidden_size: 2048,
      initializer_range: 0.02,
      intermediate_size: 8192,
      max_position_embeddings: 131072,
      mlp_bias: false,
      model_type: "llama",
      num_attention_heads: 32,
      num_hidden_layers: 16,
      num_key_value_heads: 8,
      pretraining_tp: 1,
      rms_norm_eps: 1e-05,
      rope_scaling: {
        factor: 32.0,
        high_freq_factor: 4.0,
        low_freq_factor: 1.0,
        original_max_position_embeddings: 8192,
        rope_type: "llama3",
      },
      rope_theta: 500000.0,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      transformers_version: "4.45.0.dev0",
      use_cache: true,
      vocab_size: 128256,
    },
  },
  "Qwen3-0.6B": {
    layers: 2,
    json: {
      architectures: ["Qwen3ForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 151643,
      dtype: "bfloat16",
      eos_token_id: 151645,
      head_dim: 128,
      hidden_act: "silu",
      hidden_size: 1024,
      initializer_range: 0.02,
      intermediate_size: 3072,
      max_position_embeddings: 40960,
      max_window_layers: 28,
      model_type: "qwen3",
      num_attention_heads: 16,
      num_hidden_layers: 28,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-06,
      rope_parameters: { rope_theta: 1000000, rope_type: "default" },
      sliding_window: null,
      tie_word_embeddings: true,
      transformers_version: "5.0.0",
      use_cache: true,
      use_sliding_window: false,
      vocab_size: 151936,
    },
  },
};

/** What is tried: the largest whole, and its first layers, to train them. */
export const realModels: Readonly<Record<string, RealModel>> = {
  ...published,
  "Llama-3.2-1B, first": { ...published["Llama-3.2-1B"], layers: 4 },
};

/** The config of a model with as many layers as are made. */
export function realConfig(name: string): ConfigJson {
  const { json, layers } = realModels[name];
  return { ...json, num_hidden_layers: layers };
}

/** Elements of a piece. */
const pieceLength = 1 << 22;

/** Bit patterns of bfloat16 between 2^-7 and 2^-5 in magnitude; gains are one. */
function* randomBfloat16(size: number, seed: number): Generator<Uint8Array> {
  let state = Math.imul(seed + 1, 2_654_435_761) >>> 0;
  for (let from = 0; from < size; from += pieceLength) {
    const bits = new Uint16Array(Math.min(pieceLength, size - from));
    for (let i = 0; i < bits.length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bits[i] = state >>> 16 & 0x80ff | 0x3c00;
    }
    yield bytesOf(bits);
  }
}

/** Writes a checkpoint in bfloat16 and shards; its tokenizer knows bytes. */
export async function writeRealModel(folder: string, json: ConfigJson, { maxShardBytes = 1e9 } = {}): Promise<void> {
  const sources = Object.entries(shapesOf(json)).map(([name, shape], at): [string, SafetensorsSource] => {
    const size = shape.reduce((product, length) => product * length, 1);
    const ones = () => [bytesOf(new Uint16Array(size).fill(0x3f80))];
    return [name, { dtype: "BF16", shape, pieces: name.endsWith("norm.weight") ? ones : () => randomBfloat16(size, at) }];
  });
  await writeCheckpointTensors(folder, Object.fromEntries(sources), { maxShardBytes });
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(byteTokenizer.toJSON()));
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(json, null, 2));
}
