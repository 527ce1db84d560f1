import { deepEqual, equal, ok, throws } from "../assert.ts";
import { llamaConfig } from "../../src/llama/config.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { parseSafetensors, tensorValues } from "../../src/io/safetensors.ts";
import { llamaGgufMetadata, ropeFactors } from "../../src/llama/gguf_metadata.ts";

const json = {
  vocab_size: 128256,
  hidden_size: 2048,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  intermediate_size: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  max_position_embeddings: 131072,
  tie_word_embeddings: true,
  rope_scaling: {
    rope_type: "llama3",
    factor: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
};

const config = llamaConfig(json);

Deno.test("every key that llama.cpp insists on is there, with its type", () => {
  const metadata = llamaGgufMetadata(config, { name: "Llama 3.2 1B" });
  const values = Object.fromEntries(Object.entries(metadata).map(([key, { type, value }]) => [key, `${type} ${value}`]));
  deepEqual(values, {
    "general.architecture": "string llama",
    "general.name": "string Llama 3.2 1B",
    "general.quantization_version": "uint32 2",
    "llama.vocab_size": "uint32 128256",
    "llama.context_length": "uint32 131072",
    "llama.embedding_length": "uint32 2048",
    "llama.block_count": "uint32 16",
    "llama.feed_forward_length": "uint32 8192",
    "llama.attention.head_count": "uint32 32",
    "llama.attention.head_count_kv": "uint32 8",
    "llama.attention.key_length": "uint32 64",
    "llama.attention.value_length": "uint32 64",
    "llama.attention.layer_norm_rms_epsilon": "float32 0.00001",
    "llama.rope.dimension_count": "uint32 64",
    "llama.rope.freq_base": "float32 500000",
    "hestia.rope.factor": "float32 32",
    "hestia.rope.low_frequency_factor": "float32 1",
    "hestia.rope.high_frequency_factor": "float32 4",
    "hestia.rope.original_max_positions": "float32 8192",
  });
  ok(parseGguf(writeGguf(metadata, {})));
});

Deno.test("fields that config.json may leave out have its defaults", () => {
  const { head_dim: _width, num_key_value_heads: _heads, ...short } = json;
  const metadata = llamaGgufMetadata(llamaConfig(short));
  equal(metadata["llama.attention.head_count_kv"].value, 32);
  equal(metadata["llama.attention.key_length"].value, 64);
});

Deno.test("rope factors turn plain frequencies into those of Hugging Face", () => {
  const golden = Deno.readFileSync(new URL("../golden/g_ops.safetensors", import.meta.url));
  const { tensors } = parseSafetensors(golden, { source: "g_ops.safetensors" });
  for (const width of [16, 64, 128]) {
    const wanted = tensorValues(tensors.get(`rope_hd${width}.inv_freq`)!);
    const factors = ropeFactors({ ...config, headDim: width })!;
    equal(factors.length, width / 2);
    factors.forEach((factor, pair) => {
      const frequency = 500000 ** (-2 * pair / width) / factor;
      ok(Math.abs(frequency / wanted[pair] - 1) < 1e-7, `pair ${pair} of ${width}: ${frequency}, wanted ${wanted[pair]}`);
    });
  }
});

Deno.test("rope factors: none without the scaling of Llama 3", () => {
  for (const ropeScaling of [undefined, { type: "linear", factor: 2 } as const]) {
    equal(ropeFactors({ ...config, ropeScaling }), undefined);
  }
});

Deno.test("what llama.cpp has no place for is refused", () => {
  const qwen = { ...config, family: "qwen3", queryKeyNorms: true } as const;
  throws(() => llamaGgufMetadata(qwen), /a qwen3 model to GGUF: llama\.cpp has no place for the rope scaling of Llama 3/);
  throws(
    () => llamaGgufMetadata({ ...qwen, ropeScaling: undefined, biases: ["self_attn.o_proj"] }),
    /no place for biases of self_attn\.o_proj/,
  );
  throws(
    () => llamaGgufMetadata({ ...qwen, ropeScaling: undefined, queryKeyNorms: false }),
    /a lack of norms of queries and keys/,
  );
  const yarn = { type: "yarn", factor: 4, originalMaxPositions: 64, truncate: false } as const;
  throws(() => llamaGgufMetadata({ ...config, ropeScaling: yarn }), /yarn without truncation/);
});
