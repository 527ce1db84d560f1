import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { ggufLlamaConfig } from "../../src/llama/gguf_config.ts";
import { llamaGgufMetadata, ropeFactors } from "../../src/llama/gguf_metadata.ts";
import { ggufTokenizer } from "../../src/tokenizer/gguf_read.ts";
import { llama3Split, tokenizerGgufMetadata } from "../../src/tokenizer/gguf_write.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { loadTokenizer, type TokenizerJson } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, throws } from "../assert.ts";
import { tinyConfig } from "../support/models.ts";

/** Metadata as a file gives them back. */
const stored = (metadata: Parameters<typeof writeGguf>[0]) => parseGguf(writeGguf(metadata, {})).metadata;

/** A tokenizer like that of Llama 3, with seven tokens. */
const llama3: TokenizerJson = {
  model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2, "Ġ": 3 }, merges: ["a b"], ignore_merges: true },
  added_tokens: [
    { id: 4, content: "<|begin_of_text|>", special: true },
    { id: 5, content: "<tool>", special: false },
    { id: 6, content: "<|end_of_text|>", special: true },
  ],
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [{ type: "Split", pattern: { Regex: llama3Split }, behavior: "Isolated", invert: false }, {
      type: "ByteLevel",
      add_prefix_space: false,
      use_regex: false,
    }],
  },
  normalizer: null,
  post_processor: null,
  decoder: { type: "ByteLevel" },
};

Deno.test("the tokenizer of a file encodes as the one it was written from", async () => {
  const metadata = stored(tokenizerGgufMetadata(llama3, { vocabularySize: 8, bosTokenId: 4, eosTokenId: 6 }));
  const { json, beginToken, endTokens } = ggufTokenizer(metadata);
  deepEqual([beginToken, endTokens], [4, [6]]);
  const [written, read] = await Promise.all([loadTokenizer(llama3), loadTokenizer(json)]);
  for (const text of ["ab ab", "<tool>ba<|end_of_text|>", "a  b"]) {
    const ids = written.encode(text, { parseSpecial: true });
    deepEqual(read.encode(text, { parseSpecial: true }), ids);
    equal(read.decode(ids), text);
  }
  deepEqual(tokenizerGgufMetadata(json, { vocabularySize: 8, bosTokenId: 4, eosTokenId: 6 }), metadata);
});

Deno.test("a file over bytes gives the byte tokenizer, and no end token among its bytes", async () => {
  const { json, ...special } = ggufTokenizer(stored(tokenizerGgufMetadata(byteTokenizer.toJSON(), { eosTokenId: 0 })));
  equal(await loadTokenizer(json), byteTokenizer);
  deepEqual(special, { endTokens: [] });
});

function metadataOf(config: LlamaConfig) {
  return stored(llamaGgufMetadata(config));
}

Deno.test("the rope scaling of Llama 3 is found from the factors alone", () => {
  const llama = { factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 };
  const config = { ...tinyConfig, headDim: 64, ropeTheta: 500_000, ropeScaling: llama };
  const factors = ropeFactors(config)!;
  const facts = { vocabularySize: 256, tieEmbeddings: true, ropeFactors: factors };
  const theirs = Object.fromEntries(Object.entries(metadataOf(config)).filter(([key]) => !key.startsWith("hestia.")));
  deepEqual(ggufLlamaConfig(theirs, facts), config);
  throws(
    () => ggufLlamaConfig(theirs, { ...facts, ropeFactors: factors.map((factor) => factor + 1) }),
    /not those of Llama 3/,
  );
});

Deno.test("other rope scalings are found from keys of our own", () => {
  const factors = ropeFactors(tinyConfig)!;
  const metadata = metadataOf(tinyConfig);
  deepEqual(ggufLlamaConfig(metadata, { vocabularySize: 256, tieEmbeddings: true, ropeFactors: factors }), tinyConfig);
});

Deno.test("metadata that is missing is named", () => {
  const { "llama.embedding_length": _, ...rest } = metadataOf(tinyConfig);
  throws(() => ggufLlamaConfig(rest, { vocabularySize: 256, tieEmbeddings: true }), /llama\.embedding_length is undefined/);
  throws(() => ggufTokenizer({}), /Cannot read the tokenizer: tokenizer\.ggml\.tokens is no list of strings/);
});
