/** What `config.json` and its companions may say, and what is refused by name. */

import { type FamilyName, initialModel, llamaConfig, loadCheckpoint } from "../../mod.ts";
import type { ReadingOptions } from "../../src/io/fields.ts";
import type { HuggingFaceConfig } from "../../src/llama/config.ts";
import { huggingFaceConfig } from "../../src/llama/config.ts";
import { textSettingsOf } from "../../src/llama/companions.ts";
import type { TokenizerJson } from "../../src/tokenizer/tokenizer.ts";
import { attentionFactor, inverseFrequencies } from "../../src/nn/rotary.ts";
import { deepEqual, equal, rejects, throws } from "../assert.ts";
import { familyConfigs, randomWeights, writeCheckpoint } from "../support/family_models.ts";
import { type ConfigJson, frequenciesOf } from "../support/float64_llama.ts";
import { close } from "../support/numbers.ts";

const read = (json: ConfigJson, options = {}) => llamaConfig(json as unknown as HuggingFaceConfig, options);
const llama = familyConfigs["Llama 3.2"];
const [mistral, qwen2, qwen3] = [familyConfigs.Mistral, familyConfigs.Qwen2, familyConfigs.Qwen3];

const refused: readonly (readonly [what: string, json: ConfigJson, message: RegExp])[] = [
  ["a field that nobody knows", { ...llama, query_scale: 3 }, /query_scale in config\.json is not known, got 3; remove it/],
  ["another activation", { ...llama, hidden_act: "gelu_pytorch_tanh" }, /hidden_act .* is "gelu_pytorch_tanh", wanted "silu"/],
  ["heads that are turned in part", { ...llama, partial_rotary_factor: 0.5 }, /partial_rotary_factor .* is 0\.5, wanted 1/],
  ["the same within rope_parameters", {
    ...llama,
    rope_parameters: { rope_theta: 1e4, rope_type: "default", partial_rotary_factor: 0.25 },
  }, /partial_rotary_factor in rope_parameters .* is 0\.25, wanted 1/],
  ["neighbours turned together", { ...llama, rope_interleaved: true }, /rope_interleaved .* is true, wanted false/],
  ["packed weights", { ...llama, quantization_config: { quant_method: "gptq" } }, /quantization_config .*gptq.*, wanted null/],
  ["packed weights of MLX", { ...llama, quantization: { bits: 4 } }, /quantization in config\.json/],
  ["code of its own", { ...llama, auto_map: { AutoModel: "x.y" } }, /auto_map .* wanted null; remove it/],
  [
    "another class",
    { ...llama, architectures: ["LlamaForSequenceClassification"] },
    /architectures .*LlamaForSequenceClassification/,
  ],
  ["the class of another family", { ...llama, architectures: ["MistralForCausalLM"] }, /architectures .*MistralForCausalLM/],
  [
    "a window in a Mistral",
    { ...mistral, sliding_window: 64 },
    /sliding_window .* is 64, wanted null, .*; lower max_position_embeddings/,
  ],
  [
    "a window that a Mistral has by default",
    { ...mistral, sliding_window: undefined, max_position_embeddings: 8192 },
    /sliding_window .* is 4096/,
  ],
  [
    "a window in some layers",
    { ...qwen2, use_sliding_window: true, sliding_window: 32 },
    /use_sliding_window .* is true, wanted false/,
  ],
  [
    "layers of another kind",
    { ...qwen3, layer_types: ["full_attention", "sliding_attention"] },
    /layer_types .*sliding_attention/,
  ],
  ["biases that a Mistral lacks", { ...mistral, attention_bias: true }, /attention_bias .* is true, wanted false/],
  ["a size that is no count", { ...llama, num_hidden_layers: 2.5 }, /num_hidden_layers .* is 2\.5, wanted a positive integer/],
  ["a size as text", { ...llama, hidden_size: "64" }, /hidden_size .* is "64", wanted a positive integer/],
  ["a head of an odd number of dimensions", { ...llama, head_dim: 15 }, /head_dim must be an even number, got 15/],
  ["heads that do not share evenly", { ...llama, num_key_value_heads: 3 }, /must be a multiple of num_key_value_heads \(3\)/],
  ["a dtype of 8 bits", { ...llama, dtype: "float8_e4m3fn" }, /dtype .* is "float8_e4m3fn", wanted float32/],
  ["an unknown family", { ...llama, model_type: "gemma" }, /model_type must be one of .*, got "gemma"/],
  [
    "another rope",
    { ...llama, rope_parameters: { rope_type: "longrope", factor: 2 } },
    /rope_type in rope_parameters .* is "longrope"/,
  ],
  [
    "a rope of each kind of layer",
    { ...llama, rope_parameters: { full_attention: { rope_theta: 1 } } },
    /full_attention in rope_parameters/,
  ],
  ["an incomplete llama3", {
    ...llama,
    rope_parameters: { rope_type: "llama3", factor: 8, low_freq_factor: 1, original_max_position_embeddings: 64 },
  }, /type "llama3" is incomplete: high_freq_factor is missing/],
  [
    "an incomplete yarn",
    { ...llama, rope_parameters: { rope_type: "yarn", factor: 8 } },
    /original_max_position_embeddings is missing/,
  ],
  [
    "an incomplete linear",
    { ...llama, rope_parameters: { rope_type: "linear" } },
    /type "linear" is incomplete: factor is missing/,
  ],
  [
    "a factor without a type",
    { ...llama, rope_parameters: undefined, rope_scaling: { factor: 8 } },
    /rope_scaling has factor, but no rope_type/,
  ],
  ["fields of llama3 in a linear scaling", {
    ...llama,
    rope_parameters: { rope_type: "linear", factor: 2, high_freq_factor: 4 },
  }, /high_freq_factor in rope_parameters .* is 4, wanted a positive number, and that with rope_type "llama3" alone/],
  ["fields of yarn in llama3", {
    ...llama,
    rope_parameters: { ...llama.rope_parameters, beta_fast: 32 },
  }, /beta_fast .* with rope_type "yarn" alone/],
  ["a factor that nothing grows by", {
    ...llama,
    rope_parameters: { rope_type: "default", factor: 8 },
  }, /factor in rope_parameters .* is 8, wanted a positive number, and 1 where/],
  ["a size that is not a number", { ...llama, hidden_size: NaN }, /hidden_size .* is NaN, wanted a positive integer/],
  ["two bases", { ...llama, rope_theta: 7 }, /rope_theta is said twice, as 500000 and 7/],
  ["two scalings", { ...llama, rope_scaling: { type: "linear", factor: 2 } }, /rope_parameters .* and rope_scaling .* disagree/],
  [
    "two types",
    { ...llama, rope_parameters: undefined, rope_scaling: { type: "linear", rope_type: "yarn", factor: 2 } },
    /rope_type is "yarn" and type "linear"/,
  ],
  ["llama3 factors the wrong way round", {
    ...llama,
    rope_parameters: { ...llama.rope_parameters, low_freq_factor: 4, high_freq_factor: 1 },
  }, /high_freq_factor must be above low_freq_factor/],
];

for (const [what, json, message] of refused) {
  Deno.test(`a config with ${what} is refused`, () => void throws(() => read(json), message));
}

Deno.test("an unknown field can be allowed, with a warning that names it; a value that is misunderstood cannot", () => {
  const warnings: string[] = [];
  const options = { allowUnknown: true, onWarning: (message: string) => warnings.push(message) };
  deepEqual(read({ ...llama, query_scale: 3 }, options), read(llama));
  equal(warnings.length, 1);
  equal(/query_scale in config\.json is not known, got 3: it is passed over/.test(warnings[0]), true);
  throws(() => read({ ...llama, hidden_act: "gelu" }, options), /hidden_act/);
});

Deno.test("null for key and value heads is as many as query heads, in families with another default too", () => {
  for (const json of [llama, mistral, qwen2, qwen3]) {
    const { heads, keyValueHeads } = read({ ...json, num_key_value_heads: null });
    equal(keyValueHeads, heads);
  }
});

Deno.test("a window that no text leaves is none", () => {
  deepEqual(read({ ...mistral, sliding_window: 128 }), read(mistral));
  deepEqual(read({ ...qwen2, use_sliding_window: true, sliding_window: 128 }), read(qwen2));
});

Deno.test("both spellings of rope give one config", () => {
  const { rope_parameters: _, dtype: __, ...rest } = llama;
  const { rope_theta, ...scaling } = llama.rope_parameters;
  deepEqual(read({ ...rest, rope_theta, rope_scaling: scaling, torch_dtype: "bfloat16" }), read(llama));
  deepEqual(read({ ...rest, rope_theta: 1e6, rope_scaling: { rope_type: "default" } }), read({ ...rest, rope_theta: 1e6 }));
  deepEqual(read({ ...rest, rope_parameters: { rope_theta: 1e6, rope_type: "default" } }), read({ ...rest, rope_theta: 1e6 }));
});

const yarn = { rope_theta: 10_000, rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 };
const ropes: readonly ConfigJson[] = [
  ...Object.values(familyConfigs),
  ...[{}, { mscale: 0.707, mscale_all_dim: 0.9 }, { attention_factor: 2 }, { beta_fast: 7, beta_slow: 2 }, { factor: 0.5 }, {
    original_max_position_embeddings: 997,
  }].map((
    more,
  ) => ({
    ...qwen2,
    rope_theta: undefined,
    rope_parameters: { ...yarn, ...more },
  })),
];

Deno.test("frequencies and sizes of every kind of rope are those of the formulas", () => {
  for (const json of ropes) {
    const { headDim, ropeTheta: theta, ropeScaling: scaling } = read(json);
    const wanted = frequenciesOf(json);
    close(inverseFrequencies({ headDim, theta, scaling }), wanted.each, { relative: 1e-12 });
    const size = json.rope_parameters?.factor === 0.5 ? 1 : wanted.size; // contexts that do not grow are not scaled
    close([attentionFactor(scaling)], [size], { relative: 1e-12 });
  }
});

Deno.test("what is written for a config is read as that config", () => {
  for (const json of ropes) {
    const config = read(json);
    deepEqual(read(huggingFaceConfig(config)), config);
  }
});

Deno.test("biases that config.json cannot say are not written", () => {
  const plain = read(llama);
  for (const biases of [["self_attn.q_proj"], ["self_attn.v_proj"], ["mlp.up_proj"]] as const) {
    throws(() => huggingFaceConfig({ ...plain, biases }), /Cannot write config\.json: it has no field for biases of .* alone/);
  }
  throws(() => huggingFaceConfig({ ...read(qwen2), biases: [] }), /biases of no map alone, wanted self_attn\.q_proj/);
});

Deno.test("a new model of a family has its biases and norms", () => {
  const sizes = { vocabularySize: 8, hiddenSize: 4, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 4 };
  const namesOf = (family: FamilyName) => Object.keys(initialModel({ ...sizes, family }, { seed: 1 }).parameters);
  const plain = namesOf("llama");
  deepEqual(namesOf("mistral"), plain);
  const more = (family: FamilyName) => namesOf(family).filter((name) => !plain.includes(name)).map((name) => name.slice(25));
  deepEqual(more("qwen2"), ["q_proj.bias", "k_proj.bias", "v_proj.bias"]);
  deepEqual(more("qwen3"), ["q_norm.weight", "k_norm.weight"]);
});

const text = (
  files: Record<string, unknown>,
  config: ConfigJson = { bos_token_id: 5, eos_token_id: 6 },
  options: ReadingOptions = {},
) => {
  const bytes = Object.entries(files).map(([name, content]) =>
    [name, new TextEncoder().encode(typeof content === "string" ? content : JSON.stringify(content))] as const
  );
  const tokenizer = (files["tokenizer.json"] ?? {}) as TokenizerJson;
  return textSettingsOf(config, { files: Object.fromEntries(bytes), tokenizer }, { source: "the model", ...options });
};
const template = {
  type: "TemplateProcessing",
  single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
  special_tokens: { "<s>": { id: "<s>", ids: [4], tokens: ["<s>"] } },
};

Deno.test("the begin token is what the tokenizer adds", () => {
  equal(text({}).beginToken, 5);
  equal(text({ "tokenizer_config.json": {} }).beginToken, undefined);
  equal(text({ "tokenizer.json": { post_processor: template } }).beginToken, 4);
  const steps = { type: "Sequence", processors: [{ type: "ByteLevel" }, template] };
  equal(text({ "tokenizer_config.json": {}, "tokenizer.json": { post_processor: steps } }).beginToken, 4);
  const two = { ...template, single: [template.single[0], ...template.single] };
  throws(() => text({ "tokenizer.json": { post_processor: two } }), /puts the tokens 4,4 before a text, wanted one at most/);
  const none = { ...template, single: template.single.slice(1) };
  equal(text({ "tokenizer.json": { post_processor: none } }).beginToken, undefined);
});

Deno.test("the begin token is that of tokenizer_config.json where it says one, whatever config.json says", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await writeCheckpoint(folder, qwen3, randomWeights(qwen3));
    const read = async (config: Record<string, unknown>) => {
      await Deno.writeTextFile(`${folder}/tokenizer_config.json`, JSON.stringify(config));
      const { beginToken, tokenizer } = await loadCheckpoint(folder);
      return [beginToken, ...tokenizer.encode("a", { addSpecial: true })];
    };
    deepEqual(await read({ add_bos_token: true, bos_token: "b" }), [98, 98, 97]);
    deepEqual(await read({ add_bos_token: true, bos_token: { content: "c" } }), [99, 99, 97]);
    deepEqual(await read({ add_bos_token: false, bos_token: "b" }), [undefined, 97]);
    await rejects(read({ add_bos_token: true }), /adds bos_token, which is undefined, no token/);
    await rejects(read({ chat_template: 5 }), /chat_template of tokenizer_config\.json is 5, wanted a text/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("begin and end tokens are of the vocabulary, or passed over where that is allowed", () => {
  const config = { vocab_size: 7, bos_token_id: 7, eos_token_id: [6, 8] };
  throws(() => text({}, config), /Cannot load the model: no row of the embedding stands for its begin or end token 7; remove it/);
  throws(() => text({ "generation_config.json": { eos_token_id: 9 } }, { vocab_size: 7 }), /begin or end token 9/);
  const warnings: string[] = [];
  const read = text({}, config, { allowUnknown: true, onWarning: (message) => warnings.push(message) });
  deepEqual([read.beginToken, read.endTokens, warnings.length], [undefined, [6], 2]);
  deepEqual(text({}, { vocab_size: 7, eos_token_id: -1 }).endTokens, []); // none, as some write it
});

Deno.test("end tokens are those of the config, and those of generation besides", () => {
  deepEqual(text({ "generation_config.json": { eos_token_id: [8, 6, 7] } }).endTokens, [6, 8, 7]);
  deepEqual(text({}, { eos_token_id: null }).endTokens, []);
  throws(() => text({ "generation_config.json": { speed: 9 } }), /speed in generation_config\.json is not known, got 9/);
  throws(() => text({ "generation_config.json": { eos_token_id: "</s>" } }), /eos_token_id .* wanted an id or a list of ids/);
});

Deno.test("the chat template is that of its own file, or of the tokenizer's config", () => {
  equal(text({ "tokenizer_config.json": { chat_template: "a" }, "chat_template.jinja": "b" }).chatTemplate, "b");
  const several = [{ name: "tool_use", template: "t" }, { name: "default", template: "d" }];
  equal(text({ "tokenizer_config.json": { chat_template: several } }).chatTemplate, "d");
});

Deno.test("a header that promises more than the file holds is refused before anything is made", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (
      const [field, value, message] of [
        ["num_hidden_layers", 1_000_000_000, /num_hidden_layers is 1000000000, wanted at most 10000/],
        ["num_hidden_layers", 9999, /9999 layers, but only \d+ tensors/],
        ["vocab_size", 2 ** 31, /wanted a float tensor "model\.embed_tokens\.weight" of \[2147483648,64\], got \[256,64\]/],
      ] as const
    ) {
      await writeCheckpoint(folder, qwen3, randomWeights(qwen3));
      await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...qwen3, [field]: value }));
      await rejects(loadCheckpoint(folder), message);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
