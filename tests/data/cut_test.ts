/** Long texts are cut without changing one id, whatever the tokenizer, or not at all. */

import { cutBy, cutText, joint } from "../../src/data/cut.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok } from "../assert.ts";

/** Splits words as GPT-2 does, or as Llama 3 does. */
const splits = {
  "gpt-2": "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "llama 3":
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

const merged = (tokens: readonly string[], pairs: readonly [string, string][]) => ({
  vocab: Object.fromEntries([...tokens, ...pairs.map(([a, b]) => a + b)].map((token, id) => [token, id])),
  merges: pairs.map(([a, b]) => `${a} ${b}`),
});

async function byteLevel(split: string): Promise<Tokenizer> {
  const bytes = byteTokenizer.toJSON();
  const pairs: [string, string][] = [["t", "h"], ["th", "e"], ["Ġ", "the"], ["Ċ", "Ċ"], [".", "Ċ"], ["Ġ", "Ġ"], ["ĊĊ", "Ċ"], [
    "Ġ",
    "a",
  ], ["a", "t"]];
  return await loadTokenizer({
    ...bytes,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: split }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    model: { ...bytes.model, ...merged(Object.keys(bytes.model!.vocab!), pairs) },
  });
}

/** One that puts a space before each text, and merges across words, as SentencePiece models do. */
async function sentencePiece(): Promise<Tokenizer> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const letters = [..."▁abcdefghijklmnopqrstuvwxyzTHC.,"];
  const pairs: [string, string][] = [["t", "h"], ["th", "e"], ["▁", "the"], ["▁the", "▁"], ["▁", "▁"], ["e", "▁"], ["▁", "a"]];
  return await loadTokenizer({
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "Prepend", prepend: "▁" }, { type: "Replace", pattern: { String: " " }, content: "▁" }],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "ByteFallback" },
    added_tokens: [],
    model: {
      type: "BPE",
      byte_fallback: true,
      fuse_unk: true,
      ignore_merges: false,
      unk_token: bytes[0],
      ...merged([...bytes, ...letters], pairs),
    },
  });
}

const words = ["the", "that", "a", "é", "漢字", "the  the", "x.", "12345", "it's", "🐋", "(", "the."];
const gaps = [" ", " ", " ", "\n", "\n\n", "  ", " \n", "\r\n", ".\n", "\t"];

function sample(length: number, seed: number): string {
  let [text, state] = ["", seed];
  const next = (count: number) => Math.floor((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32 * count);
  while (text.length < length) text += words[next(words.length)] + gaps[next(gaps.length)];
  return text;
}

const tokenizers: [string, () => Tokenizer | Promise<Tokenizer>][] = [
  ["bytes", () => byteTokenizer],
  ["gpt-2", () => byteLevel(splits["gpt-2"])],
  ["llama 3", () => byteLevel(splits["llama 3"])],
  ["sentencepiece", sentencePiece],
];

for (const [name, load] of tokenizers) {
  Deno.test(`pieces of a text have the ids of the whole: ${name}`, async () => {
    const tokenizer = await load();
    const marks = tokenizer.encode(joint).length;
    for (let seed = 1; seed <= 6; seed++) {
      const text = sample(4000, seed);
      const ids: number[] = [];
      let [pieces, joined] = [0, ""];
      const parts = text.match(/[^]{1,97}/gu)!;
      for await (const piece of cutText(parts, cutBy(tokenizer), { pieceLength: 300 })) {
        equal(piece.begins, pieces === 0);
        ids.push(...piece.begins ? tokenizer.encode(piece.text) : tokenizer.encode(joint + piece.text).subarray(marks));
        joined += piece.text;
        pieces++;
        equal(piece.ends, joined.length === text.length);
      }
      equal(joined, text);
      deepEqual(ids, [...tokenizer.encode(text)]);
      ok(pieces >= 5, `${pieces} pieces`);
    }
  });
}

Deno.test("a text that can nowhere be cut stays whole, and so does one that no cut leaves as it is", async () => {
  for (const [text, isCut] of [["x".repeat(5000), cutBy(byteTokenizer)], [sample(5000, 1), () => false]] as const) {
    const pieces = [];
    for await (const piece of cutText([text], isCut, { pieceLength: 100 })) pieces.push(piece);
    deepEqual(pieces, [{ text, begins: true, ends: true }]);
  }
});
