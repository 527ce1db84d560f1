import type { GgufArray, GgufMetadata, GgufValue } from "../../src/io/gguf.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { llama3Split } from "../../src/tokenizer/gguf_pre.ts";
import { ggufTokenizer } from "../../src/tokenizer/gguf_read.ts";
import { type GgufTokenizerOptions, tokenizerGgufMetadata } from "../../src/tokenizer/gguf_write.ts";
import { loadTokenizer, type TokenizerJson } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { ggufKinds, trained } from "../support/tokenizers.ts";

/** Metadata as a file gives them back. */
const stored = (metadata: GgufMetadata) => parseGguf(writeGguf(metadata, {})).metadata;

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const bytes = { ...byteLevel, use_regex: false };
const split = (regex: string, more = {}) => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
  ...more,
});
const sequence = (...pretokenizers: unknown[]) => ({ type: "Sequence", pretokenizers });

/** A tokenizer like that of Llama 3, with seven tokens. */
const llama3: TokenizerJson = {
  model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2, "Ġ": 3 }, merges: [["a", "b"]], ignore_merges: true },
  added_tokens: [
    { id: 4, content: "<|begin_of_text|>", special: true },
    { id: 5, content: "<tool>", special: false },
    { id: 6, content: "<|end_of_text|>", special: true },
  ],
  pre_tokenizer: sequence(split(llama3Split), bytes),
  normalizer: null,
  post_processor: null,
  decoder: { type: "ByteLevel" },
};

const listOf = (value: GgufValue): unknown => (value as GgufArray).value;

Deno.test("a tokenizer with merges and added tokens", () => {
  const metadata = tokenizerGgufMetadata(llama3, { vocabularySize: 8, beginToken: 4, endTokens: [6], chatTemplate: "{{ x }}" });
  deepEqual(metadata["tokenizer.ggml.model"].value, "gpt2");
  equal(metadata["tokenizer.ggml.pre"].value, "llama-bpe");
  deepEqual(listOf(metadata["tokenizer.ggml.tokens"]), [
    "a",
    "b",
    "ab",
    "Ġ",
    "<|begin_of_text|>",
    "<tool>",
    "<|end_of_text|>",
    "[PAD7]",
  ]);
  deepEqual(listOf(metadata["tokenizer.ggml.token_type"]), [1, 1, 1, 1, 3, 4, 3, 5]);
  deepEqual(listOf(metadata["tokenizer.ggml.merges"]), ["a b"]);
  deepEqual(["bos_token_id", "eos_token_id", "add_bos_token"].map((key) => metadata[`tokenizer.ggml.${key}`].value), [
    4,
    6,
    true,
  ]);
  equal(metadata["tokenizer.chat_template"].value, "{{ x }}");
});

Deno.test("the byte tokenizer: 256 tokens in order, an empty list of merges, and the same object when it is read", async () => {
  const metadata = stored(tokenizerGgufMetadata(byteTokenizer.toJSON(), { endTokens: [] }));
  const tokens = listOf(metadata["tokenizer.ggml.tokens"]) as string[];
  deepEqual([tokens.length, tokens[0], tokens[10], tokens[32], tokens[65], tokens[255]], [256, "Ā", "Ċ", "Ġ", "A", "ÿ"]);
  deepEqual(metadata["tokenizer.ggml.merges"], { type: "array", itemType: "string", value: [] });
  const { json, ...special } = ggufTokenizer(metadata);
  equal(await loadTokenizer(json), byteTokenizer);
  deepEqual(special, { endTokens: [] });
});

Deno.test("begin token, chat template and all end tokens come back, none of them too", () => {
  const options: GgufTokenizerOptions[] = [
    {},
    { endTokens: [] },
    { endTokens: [6] },
    { endTokens: [6, 4], beginToken: 4 },
    { endTokens: [1], beginToken: 0 }, // tokens like any other
    { endTokens: [6, 5, 4], chatTemplate: "{% for m in messages %}{{ m.content }}{% endfor %}" },
  ];
  for (const each of options) {
    const { json: _, ...read } = ggufTokenizer(stored(tokenizerGgufMetadata(llama3, each)));
    deepEqual(read, { endTokens: [6], ...each }); // without a word, the token is found by its spelling
  }
  throws(
    () => tokenizerGgufMetadata(llama3, { endTokens: [6, 5, 4, 1] }),
    /Cannot write the tokenizer to GGUF: it has 4 end tokens, and GGUF names 3; llama\.cpp would go on behind "b"/,
  );
});

Deno.test("a text begins and ends as the file says", async () => {
  const template = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "B", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }, {
      SpecialToken: { id: "E", type_id: 0 },
    }],
    special_tokens: { B: { id: "B", ids: [4], tokens: ["B"] }, E: { id: "E", ids: [6], tokens: ["E"] } },
  };
  const json = { ...llama3, post_processor: template };
  const read = await loadTokenizer(ggufTokenizer(stored(tokenizerGgufMetadata(json, { beginToken: 4, endTokens: [6] }))).json);
  deepEqual([...read.encode("ab", { addSpecial: true })], [4, 2, 6]);
  throws(
    () => tokenizerGgufMetadata(json, { beginToken: 4, endTokens: [5] }),
    /puts the tokens 6 behind a text, .* the first end token, 5/,
  );
  const off = tokenizerGgufMetadata(llama3, { endTokens: [6] });
  deepEqual([...(await loadTokenizer(ggufTokenizer(off).json)).encode("ab", { addSpecial: true })], [2]);
});

/** Rules that are spelt otherwise than in the models that they are known from. */
const spellings: [name: string, pre_tokenizer: unknown][] = [
  ["gpt-2", byteLevel],
  ["gpt-2", sequence(split("'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s"), bytes)],
  ["llama-bpe", sequence(split(llama3Split.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)")), bytes)],
  ["llama-bpe", sequence(split(llama3Split, { behavior: "Removed", invert: true }), bytes)],
  ["smollm", sequence(split("\\p{N}"), byteLevel)],
  ["qwen2", sequence(split(llama3Split.replace("\\p{N}{1,3}", "\\p{N}")), bytes)],
];

for (const [wanted, pre_tokenizer] of spellings) {
  Deno.test(`a rule that does what ${wanted} does is known: ${JSON.stringify(pre_tokenizer).slice(0, 70)}`, () => {
    equal(tokenizerGgufMetadata({ ...llama3, pre_tokenizer })["tokenizer.ggml.pre"].value, wanted);
  });
}

Deno.test("whether merges are ignored decides where it matters", () => {
  const named = (json: TokenizerJson) => tokenizerGgufMetadata(json)["tokenizer.ggml.pre"].value;
  const loose = { ...llama3.model, vocab: { ...llama3.model!.vocab, ba: 7 } }; // no merges make it
  equal(named({ ...llama3, model: { ...loose, ignore_merges: true } }), "llama-bpe");
  equal(named({ ...llama3, model: { ...loose, ignore_merges: false } }), "smaug-bpe");
  equal(named({ ...llama3, pre_tokenizer: byteLevel }), "gpt-2");
  throws(
    () => named({ ...llama3, pre_tokenizer: byteLevel, model: loose }),
    /it has ignore_merges true, but llama\.cpp's rule gpt-2 is without: the token "ba" is no result of merges/,
  );
});

const pieces = ggufKinds["like Llama 2"]();
const changedModel = (change: Record<string, unknown>): TokenizerJson => ({ ...pieces, model: { ...pieces.model, ...change } });
const token = (change: Record<string, unknown>) => ({ added_tokens: [{ id: 4, content: "<x>", special: true, ...change }] });

const refused: [name: string, json: TokenizerJson, wanted: RegExp][] = [
  ["kind of model", { model: { type: "Unigram", vocab: {} } }, /it is of type Unigram, wanted BPE/],
  [
    "rule of splitting",
    { ...llama3, pre_tokenizer: sequence(split("\\s+|\\S"), bytes) },
    /splits texts like none of gpt-2, llama-bpe/,
  ],
  ["rule of digits", { ...llama3, pre_tokenizer: sequence(split(llama3Split.replace("{1,3}", "{1,4}")), bytes) }, /like none of/],
  ["prefix space", { ...llama3, pre_tokenizer: { ...byteLevel, add_prefix_space: true } }, /adds to texts \(add_prefix_space\)/],
  ["dropped space", { ...llama3, pre_tokenizer: sequence({ type: "Whitespace" }, bytes) }, /or drops some of them/],
  ["normalizer", { ...llama3, normalizer: { type: "NFC" } }, /it has the normalizer NFC, which GGUF cannot say/],
  ["normalizer of bytes", { ...byteTokenizer.toJSON(), normalizer: { type: "Lowercase" } }, /normalizer Lowercase/],
  [
    "added token that takes spaces",
    { ...llama3, ...token({ lstrip: true }) },
    /added token "<x>" has lstrip, which GGUF cannot say/,
  ],
  ["added token that stands alone", { ...llama3, ...token({ single_word: true }) }, /has single_word/],
  ["decoder", { ...llama3, decoder: null }, /its decoder is none, and GGUF can only say ByteLevel/],
  ["decoder that strips", {
    ...llama3,
    decoder: { type: "Sequence", decoders: [{ type: "ByteLevel" }, { type: "Strip", content: " ", start: 1, stop: 0 }] },
  }, /its decoder is ByteLevel and Strip/],
  ["suffix", { ...llama3, model: { ...llama3.model, end_of_word_suffix: "b" } }, /end_of_word_suffix/],
  [
    "metaspace",
    { ...pieces, normalizer: null, pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first" } },
    /behind a special token, and llama\.cpp/,
  ],
  ["normalizer of pieces", { ...pieces, normalizer: { type: "NFKC" } }, /its normalizer and pre_tokenizer make/],
  ["missing byte", { ...changedModel({ vocab: { a: 0 } }), added_tokens: [] }, /no token <0x00>/],
  [
    "list of merges that misses pairs",
    trained({ normalizer: pieces.normalizer }, { byte_fallback: true }),
    /its merges do not have \[.*\], which llama\.cpp joins to the token/,
  ],
  [
    "order of merges",
    changedModel({ merges: [...pieces.model!.merges!.slice(1), pieces.model!.merges![0], pieces.model!.merges![1]] }),
    /in several places of their order/,
  ],
  ["id", { model: { vocab: { a: 0, b: 9 } } }, /the token "b" has the id 9, and the vocabulary 5 tokens/],
  ["fractional id", { model: { vocab: { a: 0.5 } } }, /"a" has the id 0\.5/],
  ["shared id", { model: { vocab: { a: 0, b: 0 } } }, /the tokens "a" and "b" both have the id 0/],
  ["merge", { ...llama3, model: { vocab: { a: 0, b: 1, c: 2 }, merges: ["abc"] } }, /merge "abc" is no pair of tokens/],
];

for (const [name, json, wanted] of refused) {
  Deno.test(`a ${name} that GGUF has no place for is refused`, () => {
    const size = { vocabularySize: Object.keys(json.model!.vocab!).length < 20 ? 5 : undefined };
    throws(
      () => tokenizerGgufMetadata({ added_tokens: [], pre_tokenizer: byteLevel, ...json }, name.includes("id") ? size : {}),
      {
        name: "RangeError",
        message: wanted,
      },
    );
  });
}

Deno.test("special ids must be tokens", () => {
  throws(() => tokenizerGgufMetadata(llama3, { endTokens: [7] }), /the begin or end token 7 is none of its 7 tokens/);
});

Deno.test("keys and values that are not known are refused by name", () => {
  const metadata = tokenizerGgufMetadata(llama3, { endTokens: [6] });
  const changed = (change: GgufMetadata, options = {}) => ggufTokenizer({ ...metadata, ...change }, options);
  const text = (value: string): GgufValue => ({ type: "string", value });
  const begins: GgufMetadata = { "tokenizer.ggml.add_bos_token": { type: "bool", value: true } };
  throws(() => changed({ "tokenizer.ggml.novel": text("x") }), /tokenizer\.ggml\.novel of GGUF is not known/);
  const warnings: string[] = [];
  changed({ "tokenizer.ggml.novel": text("x") }, { allowUnknown: true, onWarning: (each: string) => warnings.push(each) });
  equal(warnings.length, 1);
  throws(
    () => changed({ "tokenizer.ggml.model": text("bert") }),
    /tokenizer\.ggml\.model of GGUF is "bert", wanted "gpt2" or "llama"/,
  );
  throws(
    () => changed({ "tokenizer.ggml.pre": text("bloom") }),
    /tokenizer\.ggml\.pre bloom is not known, wanted gpt-2, llama-bpe/,
  );
  throws(() => changed({ "tokenizer.ggml.model": text("llama") }), /tokenizer\.ggml\.scores has no items/);
  throws(
    () => changed({ "tokenizer.ggml.tokens": { type: "array", itemType: "int32", value: [1] } }),
    /tokens is no list of strings/,
  );
  throws(
    () => changed({ ...begins, "tokenizer.ggml.bos_token_id": { type: "uint32", value: 99 } }),
    /bos_token_id is 99, and there are 7 tokens/,
  );
  const id = (value: number): GgufValue => ({ type: "int32", value });
  throws(() => changed({ ...begins, "tokenizer.ggml.bos_token_id": id(-1) }), /bos_token_id/);
  throws(
    () => changed(begins),
    /texts begin with a token \(add_bos_token\), and tokenizer\.ggml\.bos_token_id does not say which/,
  );
  const { "hestia.end_token_ids": _, ...foreign } = metadata;
  throws(
    () => ggufTokenizer({ ...foreign, "tokenizer.ggml.eot_token_id": id(7) }),
    /eot_token_id is 7, and there are 7 tokens/,
  );
  const ends = ggufTokenizer({ ...foreign, "tokenizer.ggml.eot_token_id": id(1) }).endTokens;
  deepEqual(ends, [6, 1]); // a token like any other, as llama.cpp takes it
  deepEqual(changed({ "tokenizer.ggml.eot_token_id": id(1) }).endTokens, [6, 1]); // besides our own list
  throws(
    () => changed({ "hestia.end_token_ids": { type: "array", itemType: "uint32", value: [6, 8] } }),
    /hestia\.end_token_ids has 8, and there are 7 tokens/,
  );
  const types = { type: "array", itemType: "int32", value: [1, 1, 9, 1, 3, 4, 3] } as const;
  throws(() => changed({ "tokenizer.ggml.token_type": types }), /token 2 is of the type 9, wanted 1 to 6/);
  throws(() => changed({ "tokenizer.ggml.token_type": { type: "array", itemType: "int32", value: [1] } }), /has 1 items/);
});

Deno.test("whether a text begins with a token is as the file says; where it does not, as llama.cpp has it", () => {
  const { "tokenizer.ggml.add_bos_token": _, ...silent } = tokenizerGgufMetadata(llama3, { beginToken: 4, endTokens: [6] });
  const begin = (more: GgufMetadata) => ggufTokenizer({ ...silent, ...more }).beginToken;
  equal(begin({}), 4);
  equal(begin({ "tokenizer.ggml.add_bos_token": { type: "bool", value: false } }), undefined);
  const gpt2: GgufMetadata = { "tokenizer.ggml.pre": { type: "string", value: "gpt-2" } };
  equal(begin(gpt2), undefined);
  equal(begin({ ...gpt2, "tokenizer.ggml.add_bos_token": { type: "bool", value: true } }), 4);
});

Deno.test("an old file, which names no rule of splitting, is refused rather than guessed", () => {
  const { "tokenizer.ggml.pre": _, ...rest } = tokenizerGgufMetadata(llama3);
  throws(() => ggufTokenizer(rest), /tokenizer\.ggml\.pre undefined is not known/);
  ok(ggufTokenizer(tokenizerGgufMetadata(llama3)));
});
