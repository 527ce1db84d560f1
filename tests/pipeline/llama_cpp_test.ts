/** Whole models in llama.cpp: our files give its next token the probabilities that we give it, and its files open here. */

import { tensor } from "../../src/create.ts";
import { openGgufFile } from "../../src/io/gguf_file.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { llama, type LlamaModel } from "../../src/llama/model.ts";
import { llama3Split } from "../../src/tokenizer/gguf_pre.ts";
import { initialParameters } from "../../src/llama/parameters.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { pack, type PackOptions } from "../../src/pipeline/pack.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { LlamaCpp, noLlamaCpp, softmax } from "../support/llama_cpp.ts";
import { tinyConfig } from "../support/models.ts";

const llamaCpp = noLlamaCpp ? undefined : await LlamaCpp.open();

function test(name: string, work: (llamaCpp: LlamaCpp) => Promise<void>): void {
  Deno.test({ name: noLlamaCpp ? `${name} (${noLlamaCpp})` : name, ignore: noLlamaCpp !== undefined, fn: () => work(llamaCpp!) });
}

/** A text, and after how many of its tokens predictions are compared. */
const text = Int32Array.from({ length: 40 }, (_, i) => (i * 37 + 72) % 256);
const lengths = [1, 7, 40];

/** Our probabilities of the next token after each of `lengths`. */
async function ours(model: LlamaModel): Promise<Float64Array[]> {
  const logits = Float32Array.from(await llama(model, tensor(text, { shape: [1, text.length] })).data());
  const { vocabularySize: size } = model.config;
  return lengths.map((length) => softmax(logits.subarray((length - 1) * size, length * size)));
}

/** Information lost where q stands for p, in nats. */
function divergence(p: Float64Array, q: Float64Array): number {
  return p.reduce((sum, each, i) => sum + (each === 0 ? 0 : each * Math.log(each / q[i])), 0);
}

async function withFile(bytes: Uint8Array, work: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  try {
    await Deno.writeFile(path, bytes);
    await work(path);
  } finally {
    await Deno.remove(path);
  }
}

/** Mean divergence of llama.cpp with a file from the model that it holds. */
async function meanDivergence(llamaCpp: LlamaCpp, path: string, model: LlamaModel): Promise<number> {
  const mine = await ours(model);
  const each = lengths.map((length, i) => divergence(mine[i], llamaCpp.nextToken(path, text.slice(0, length))));
  return each.reduce((sum, nats) => sum + nats, 0) / each.length;
}

/** A random model whose predictions are about as sure as those of a trained one. */
function randomModel(config: Partial<LlamaConfig>): LanguageModel {
  const full: LlamaConfig = { ...tinyConfig, ...config };
  return {
    config: full,
    parameters: initialParameters(full, { seed: 5, deviation: 0.08 }),
    tokenizer: byteTokenizer,
    endTokens: [],
  };
}

/** Rows of 256, as TQ1_0 and TQ2_0 want, else of awkward numbers of blocks: heads of 32 in groups of three, ids without a token. */
const wide: Partial<LlamaConfig> = { hiddenSize: 256, intermediateSize: 768, heads: 8, keyValueHeads: 1, headDim: 32 };
const narrow: Partial<LlamaConfig> = {
  ...{ hiddenSize: 192, intermediateSize: 320, heads: 6, keyValueHeads: 2, headDim: 32 },
  ...{ vocabularySize: 259, tieEmbeddings: false, ropeScaling: undefined },
};

/** Most that llama.cpp may diverge, in nats. Its activations are rounded to eight bits, or to half precision for f16. */
const limits: [options: PackOptions, groupSize: number, config: Partial<LlamaConfig>, nats: number][] = [
  [{ format: "f16" }, 64, narrow, 2e-6],
  [{ format: "q2_0" }, 64, narrow, 1e-3],
  [{ format: "q2_0", embeddings: "q8_0" }, 64, wide, 1e-3],
  [{ format: "q2_0" }, 128, wide, 1e-3],
  [{ format: "q4_0" }, 32, narrow, 1e-3],
  [{ format: "tq2_0" }, 256, wide, 2e-3],
  [{ format: "tq1_0" }, -1, wide, 2e-3],
];

for (const [options, groupSize, config, nats] of limits) {
  const { format, embeddings = "f16" } = options;
  const what = `our ${format} file with groups of ${groupSize} and ${embeddings} embeddings`;
  test(`llama.cpp predicts from ${what} what we do, within ${nats} nats`, async (llamaCpp) => {
    const bytes = await pack({ ...randomModel(config), quantization: { quantizer: "hestia", groupSize } }, options);
    await withFile(bytes, async (path) => {
      const found = await meanDivergence(llamaCpp, path, await openPacked(bytes));
      ok(found < nats, `${found} nats`);
    });
  });
}

test("the divergence tells another model", async (llamaCpp) => {
  const model: LanguageModel = { ...randomModel(narrow), quantization: { quantizer: "hestia", groupSize: 64 } };
  await withFile(await pack(model), async (path) => ok(await meanDivergence(llamaCpp, path, model) > 0.01)); // not rounded
});

/** llama.cpp's numbers of file types. */
const fileTypes = { Q4_0: 2, TQ1_0: 36, TQ2_0: 37, Q2_0: 41 } as const;

/** What llama.cpp makes of a tensor whose rows do not fit, and of embeddings. */
const written: [type: keyof typeof fileTypes, config: Partial<LlamaConfig>, types: readonly string[]][] = [
  ["TQ1_0", wide, ["F32", "Q6_K", "TQ1_0"]],
  ["TQ2_0", { ...wide, tieEmbeddings: false }, ["F32", "Q4_K", "Q6_K", "TQ2_0"]],
  ["Q2_0", wide, ["F32", "Q2_0", "Q6_K"]],
  ["TQ1_0", narrow, ["F32", "Q4_0", "Q5_0", "Q8_0"]],
];

for (const [type, config, types] of written) {
  const { hiddenSize, tieEmbeddings = true } = config;
  test(`llama.cpp's own ${type} of ${hiddenSize} columns, ${tieEmbeddings ? "" : "not "}tied, opens here`, async (llamaCpp) => {
    const groupSize = 64;
    const source = await pack({ ...randomModel(config), quantization: { quantizer: "hestia", groupSize } }, { format: "f16" });
    await withFile(source, (path) =>
      withFile(new Uint8Array(), async (target) => {
        llamaCpp.quantize(path, target, fileTypes[type]);
        using file = await openGgufFile(target);
        deepEqual([...new Set(Array.from(file.tensors.values(), (entry) => entry.type))].sort(), types);
        const found = await meanDivergence(llamaCpp, target, await openPacked(file));
        ok(found < 2e-3, `${found} nats`);
      }));
  });
}

test("llama.cpp's own TQ2_0 of weights in groups of 256 is ours, block for block", async (llamaCpp) => {
  const model: LanguageModel = {
    ...randomModel(wide),
    quantization: { quantizer: "hestia", groupSize: 256, scaleDtype: "float16" },
  };
  await withFile(await pack(model, { format: "f16" }), (path) =>
    withFile(new Uint8Array(), async (target) => {
      llamaCpp.quantize(path, target, fileTypes.TQ2_0);
      const [theirs, ours] = [await Deno.readFile(target), await pack(model, { format: "tq2_0" })].map((bytes) =>
        parseGguf(bytes)
      );
      const layers = [...ours.tensors].filter(([, { type }]) => type === "TQ2_0");
      equal(layers.length, 14);
      for (const [name, tensor] of layers) deepEqual(theirs.tensors.get(name), tensor);
    }));
});

test("llama.cpp splits text into the tokens that we do", async (llamaCpp) => {
  const words = "Call me Ishmael, it's 12345 o'clock\n\n  and\tnéver … <|end_of_text|>mind";
  for (const tokenizer of [byteTokenizer, await mergingTokenizer()]) {
    const model = { ...randomModel({ ...narrow, layers: 1, vocabularySize: 264 }), tokenizer };
    await withFile(await pack(model, { format: "f16" }), (path) => {
      using theirs = llamaCpp.tokenizer(path);
      deepEqual([...theirs.encode(words, { parseSpecial: true })], [...tokenizer.encode(words, { parseSpecial: true })]);
      return Promise.resolve();
    });
  }
});

/** A tokenizer like Llama 3's: bytes, five merges and a special token. */
async function mergingTokenizer(): Promise<Tokenizer> {
  const { model } = byteTokenizer.toJSON();
  const merges = ["i t", "c k", "m e", "n d", "Ġ me"];
  const vocab = { ...model!.vocab, ...Object.fromEntries(merges.map((merge, index) => [merge.replace(" ", ""), 256 + index])) };
  return await loadTokenizer({
    version: "1.0",
    added_tokens: [{ id: 261, content: "<|end_of_text|>", special: true }],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: llama3Split }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges, ignore_merges: true },
  });
}
