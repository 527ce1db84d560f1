import { deepEqual, equal, ok, throws } from "../assert.ts";
import type { GgufArray } from "../../src/io/gguf.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { tokenizerGgufMetadata } from "../../src/tokenizer/gguf_write.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import type { TokenizerJson } from "../../src/tokenizer/tokenizer.ts";

const split = {
  type: "Split",
  pattern: {
    Regex:
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  },
};
const bytes = { type: "ByteLevel", use_regex: false };

/** A tokenizer like that of Llama 3, with five tokens. */
const llama: TokenizerJson = {
  model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: [["a", "b"]] },
  added_tokens: [{ id: 3, content: "<|begin_of_text|>", special: true }, { id: 4, content: "<tool>", special: false }],
  pre_tokenizer: { type: "Sequence", pretokenizers: [split, bytes] },
  post_processor: {
    type: "Sequence",
    processors: [{ type: "ByteLevel" }, {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|begin_of_text|>", type_id: 0 } }],
    }],
  },
};

const listOf = (value: unknown): unknown => (value as GgufArray).value;

Deno.test("a tokenizer with merges and added tokens", () => {
  const metadata = tokenizerGgufMetadata(llama, { vocabularySize: 6, bosTokenId: 3, eosTokenId: 4 });
  equal(metadata["tokenizer.ggml.model"].value, "gpt2");
  equal(metadata["tokenizer.ggml.pre"].value, "llama-bpe");
  deepEqual(listOf(metadata["tokenizer.ggml.tokens"]), ["a", "b", "ab", "<|begin_of_text|>", "<tool>", "[PAD5]"]);
  deepEqual(listOf(metadata["tokenizer.ggml.token_type"]), [1, 1, 1, 3, 4, 5]);
  deepEqual(listOf(metadata["tokenizer.ggml.merges"]), ["a b"]);
  equal(metadata["tokenizer.ggml.bos_token_id"].value, 3);
  equal(metadata["tokenizer.ggml.eos_token_id"].value, 4);
  equal(metadata["tokenizer.ggml.add_bos_token"].value, true);
  deepEqual({ ...parseGguf(writeGguf(metadata, {})).metadata }, metadata);
});

Deno.test("the byte tokenizer: 256 tokens in order, an empty list of merges", () => {
  const metadata = tokenizerGgufMetadata(byteTokenizer.toJSON(), { bosTokenId: 0, eosTokenId: 0 });
  const tokens = listOf(metadata["tokenizer.ggml.tokens"]) as string[];
  equal(tokens.length, 256);
  deepEqual([tokens[0], tokens[10], tokens[32], tokens[65], tokens[255]], ["Ā", "Ċ", "Ġ", "A", "ÿ"]);
  deepEqual(metadata["tokenizer.ggml.merges"], { type: "array", itemType: "string", value: [] });
  equal(metadata["tokenizer.ggml.add_bos_token"].value, false);
});

Deno.test("special ids are left out when not given", () => {
  const metadata = tokenizerGgufMetadata(llama);
  ok(!("tokenizer.ggml.bos_token_id" in metadata) && !("tokenizer.ggml.eos_token_id" in metadata));
  equal(metadata["tokenizer.ggml.add_bos_token"].value, false);
});

Deno.test("the splitting rule is named, or must be", () => {
  const nameOf = (pre_tokenizer: unknown, preTokenizer?: string): unknown =>
    tokenizerGgufMetadata({ ...llama, pre_tokenizer }, { preTokenizer })["tokenizer.ggml.pre"].value;
  equal(nameOf({ type: "ByteLevel" }), "gpt-2");
  equal(nameOf(null, "qwen2"), "qwen2");
  throws(() => nameOf({ type: "Whitespace" }), /Cannot name the pre-tokenizer .*Whitespace.* or the option preTokenizer/);
  throws(
    () => nameOf({ type: "Sequence", pretokenizers: [{ ...split, pattern: { Regex: "\\s" } }, bytes] }),
    /Cannot name the pre-tokenizer/,
  );
});

const bad: [name: string, change: TokenizerJson, wanted: RegExp][] = [
  ["model", { model: { type: "Unigram", vocab: {} } }, /of type Unigram to GGUF: wanted a BPE model/],
  ["vocabulary", { model: { type: "BPE" } }, /wanted a BPE model with its vocabulary/],
  ["id", { model: { vocab: { a: 0, b: 9 } } }, /Cannot place token "b" at id 9: the vocabulary has 5 tokens/],
  ["fractional id", { model: { vocab: { a: 0.5 } } }, /Cannot place token "a" at id 0\.5/],
  ["shared id", { model: { vocab: { a: 0, b: 0 } } }, /Cannot place tokens "a" and "b": both have id 0/],
  ["merge", { model: { vocab: {}, merges: ["abc"] } }, /Cannot write merge "abc" to GGUF: wanted two tokens/],
  ["added token", { added_tokens: [{ content: "x" }] }, /Cannot write added token \{"content":"x"\}/],
];

for (const [name, change, wanted] of bad) {
  Deno.test(`a bad ${name} is refused`, () =>
    throws(() => tokenizerGgufMetadata({ ...llama, ...change }, { vocabularySize: 5 }), wanted));
}

Deno.test("special ids must be tokens", () => {
  throws(() => tokenizerGgufMetadata(llama, { eosTokenId: 5 }), /Cannot use token 5 as eos: the tokenizer has 5 tokens/);
});
