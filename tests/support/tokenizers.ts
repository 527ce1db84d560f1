/**
 * Small tokenizers of every kind, trained on a fixed text: the same at every run.
 *
 * @module
 */

import { byteSymbols } from "../../src/tokenizer/bytes.ts";
import { byteToken } from "../../src/tokenizer/bpe.ts";
import { mergesOfScores } from "../../src/tokenizer/gguf_pieces.ts";
import { namedRules } from "../../src/tokenizer/gguf_pre.ts";
import { normalizerOf } from "../../src/tokenizer/normalize.ts";
import { splitterOf, wordsOf } from "../../src/tokenizer/split.ts";
import type { TokenizerJson, TokenizerModelJson } from "../../src/tokenizer/tokenizer.ts";
import { variedTexts } from "./varied_texts.ts";

/** Texts to train on, others than those to test with. */
const trainingTexts = variedTexts(150, 99).map((text) => text.replace(/<[^ <>]+>/g, "")); // no part of a special token becomes one

/** Tokens that are added to the alphabet. */
const mergeCount = 250;

/** Trains a tokenizer with given parts: the pair that occurs most becomes a token, over and over. */
export function trained(parts: TokenizerJson, options: Partial<TokenizerModelJson> = {}): TokenizerJson {
  const normalize = normalizerOf(parts.normalizer) ?? ((text: string) => text);
  const splitter = splitterOf(parts.pre_tokenizer);
  const spell = splitter.spell ?? ((word: string) => word);
  const words = new Map<string, number>();
  for (const text of trainingTexts) {
    for (const word of wordsOf(splitter, normalize(text))) words.set(spell(word), (words.get(spell(word)) ?? 0) + 1);
  }
  const prefix = String(options.continuing_subword_prefix ?? "");
  const suffix = String(options.end_of_word_suffix ?? "");
  const lists = words.entries().map(([word, count]) => ({ symbols: symbolsOf(word, prefix, suffix), count })).toArray();
  const alphabet = splitter.spell ? byteSymbols() : commonSymbols(lists);
  const merges = mergesOf(lists, { alphabet, prefix });
  const all = [...alphabet, ...merges.map(([left, right]) => left + right.slice(prefix.length))];
  return withVocabulary(parts, { ...options, merges }, all);
}

function symbolsOf(word: string, prefix: string, suffix: string): string[] {
  const characters = [...word];
  return characters.map((char, at) => `${at > 0 ? prefix : ""}${char}${at === characters.length - 1 ? suffix : ""}`);
}

interface Word {
  readonly symbols: readonly string[];
  readonly count: number;
}

/** Symbols that occur more than a few times: the others stay unknown. */
function commonSymbols(words: readonly Word[]): string[] {
  const counts = new Map<string, number>();
  for (const { symbols, count } of words) for (const symbol of symbols) counts.set(symbol, (counts.get(symbol) ?? 0) + count);
  return counts.entries().filter(([, count]) => count > 3).map(([symbol]) => symbol).toArray().sort();
}

/** Pairs in the order in which they become tokens. Symbols are numbers here: those of the alphabet from 0 on, then the new ones. */
function mergesOf(
  words: readonly Word[],
  { alphabet, prefix }: { readonly alphabet: readonly string[]; readonly prefix: string },
): [string, string][] {
  const symbols = [...alphabet];
  const ids = new Map(symbols.map((symbol, id) => [symbol, id]));
  const merges: [string, string][] = [];
  const lists = words.map((word) => ({ ids: word.symbols.map((symbol) => ids.get(symbol) ?? -1), count: word.count }));
  while (merges.length < mergeCount) {
    const [left, right] = mostFrequent(lists);
    if (left < 0) break;
    merges.push([symbols[left], symbols[right]]);
    const product = symbols[left] + symbols[right].slice(prefix.length);
    if (!ids.has(product)) ids.set(product, symbols.push(product) - 1);
    for (const list of lists) {
      if (list.ids.includes(left)) list.ids = joined(list.ids, { left, right, product: ids.get(product)! });
    }
  }
  return merges;
}

function mostFrequent(
  lists: readonly { readonly ids: readonly number[]; readonly count: number }[],
): [left: number, right: number] {
  const counts = new Map<number, number>();
  let [best, most] = [-1, 1];
  for (const { ids, count } of lists) {
    for (let i = 0; i + 1 < ids.length; i++) {
      if (ids[i] < 0 || ids[i + 1] < 0) continue;
      const pair = ids[i] * 65536 + ids[i + 1];
      const total = (counts.get(pair) ?? 0) + count;
      counts.set(pair, total);
      if (total > most) [best, most] = [pair, total];
    }
  }
  return best < 0 ? [-1, -1] : [Math.floor(best / 65536), best % 65536];
}

function joined(ids: readonly number[], { left, right, product }: Record<"left" | "right" | "product", number>): number[] {
  const result: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) result.push(product), i++;
    else result.push(ids[i]);
  }
  return result;
}

const special = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>"];
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };

function withVocabulary(parts: TokenizerJson, options: Partial<TokenizerModelJson>, symbols: readonly string[]): TokenizerJson {
  const bytes = options.byte_fallback ? Array.from({ length: 256 }, (_, byte) => byteToken(byte)) : [];
  const tokens = [...new Set([...special.slice(0, 3), ...bytes, ...symbols])];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const more = special.slice(3).map((content, index) => ({ id: tokens.length + index, content, ...flags }));
  const template = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...special.slice(0, 3).map((content, id) => ({ id, content, ...flags })), ...more],
    normalizer: null,
    pre_tokenizer: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    post_processor: template,
    ...parts,
    model: {
      ...{ type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: false },
      ...options,
      vocab,
      merges: options.merges ?? [],
    },
  };
}

/** All pairs that make a token, in the order of the tokens, as files have them that were made of a SentencePiece model. */
function withAllPairs(json: TokenizerJson): TokenizerJson {
  const special = new Set(json.added_tokens!.map((token) => (token as { readonly content: string }).content));
  const vocab = new Map(Object.entries(json.model!.vocab!).filter(([token]) => !special.has(token)));
  return { ...json, model: { ...json.model, merges: mergesOfScores(vocab, (token) => -vocab.get(token)!) } };
}

/** Tokens that may take white space, stand alone, or are found in the normalized text. */
function withAdded(json: TokenizerJson): TokenizerJson {
  const next = Object.keys(json.model!.vocab!).length + special.length - 3;
  const more: [content: string, change: Partial<typeof flags>][] = [
    ["<left>", { lstrip: true }],
    ["<right>", { rstrip: true, special: false }],
    ["money", { single_word: true, special: false }],
    ["Caps", { normalized: true, special: false }],
    ["<mask>", { lstrip: true, rstrip: true }],
    ["<mask>s", {}],
  ];
  return {
    ...json,
    added_tokens: [
      ...json.added_tokens!,
      ...more.map(([content, change], at) => ({ id: next + at, content, ...flags, ...change })),
    ],
  };
}

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const bytes = { ...byteLevel, use_regex: false };
const sequence = (...pretokenizers: unknown[]) => ({ type: "Sequence", pretokenizers });
const normalizers = (...list: unknown[]) => ({ type: "Sequence", normalizers: list });
const split = (pattern: unknown, behavior: string, invert = false) => ({ type: "Split", pattern, behavior, invert });
const toMark = { type: "Replace", pattern: { String: " " }, content: "▁" };
const pieces = { unk_token: "<unk>", fuse_unk: true, byte_fallback: true };
const piecesDecoder = {
  type: "Sequence",
  decoders: [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    { type: "Strip", content: " ", start: 1, stop: 0 },
  ],
};
const metaspace = (prepend_scheme: string, split = true) => ({ type: "Metaspace", replacement: "▁", prepend_scheme, split });
const rule = (name: keyof typeof namedRules) => ({ pre_tokenizer: namedRules[name].part });
const prepends = { normalizer: normalizers({ type: "Prepend", prepend: "▁" }, toMark), decoder: piecesDecoder };
const casePattern =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
  "[^\\r\\n\\p{L}\\p{N}]?+[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]++[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Kinds that GGUF has a place for. */
export const ggufKinds = {
  "gpt-2": () => trained(rule("gpt-2")),
  "llama-bpe": () => trained(rule("llama-bpe"), { ignore_merges: true }),
  "smaug-bpe": () => trained(rule("smaug-bpe")),
  "smollm": () => trained(rule("smollm")),
  "qwen2": () => trained({ ...rule("qwen2"), normalizer: { type: "NFC" } }),
  "like Llama 2": () => withAllPairs(trained(prepends, pieces)),
  "like Llama 2, no space before": () =>
    withAllPairs(
      trained({ normalizer: toMark, decoder: { ...piecesDecoder, decoders: piecesDecoder.decoders.slice(0, 3) } }, pieces),
    ),
} as const satisfies Readonly<Record<string, () => TokenizerJson>>;

/** Kinds that it has none for. */
export const otherKinds = {
  "case by Unicode, possessive": () => trained({ pre_tokenizer: sequence(split({ Regex: casePattern }, "Isolated"), bytes) }),
  "a space before": () => trained({ pre_tokenizer: { ...byteLevel, add_prefix_space: true } }),
  "words, digits and punctuation": () =>
    trained({
      pre_tokenizer: sequence(
        { type: "Digits", individual_digits: false },
        { type: "Punctuation", behavior: "Contiguous" },
        byteLevel,
      ),
    }),
  "splits of all behaviours": () =>
    trained({
      pre_tokenizer: sequence(
        split({ String: "\n" }, "MergedWithPrevious"),
        split({ Regex: "\\s" }, "MergedWithNext"),
        split({ Regex: "[aeiou]+" }, "Contiguous"),
        split({ String: "--" }, "Removed"),
        split({ Regex: "\\w+" }, "Isolated", true),
        bytes,
      ),
    }),
  "white space dropped": () => trained({ pre_tokenizer: sequence({ type: "Whitespace" }, bytes) }),
  "white space dropped, plainly": () =>
    trained({ pre_tokenizer: sequence({ type: "WhitespaceSplit" }, { type: "CharDelimiterSplit", delimiter: "-" }, bytes) }),
  "small letters": () =>
    trained({
      ...rule("gpt-2"),
      normalizer: normalizers({ type: "NFKD" }, { type: "StripAccents" }, { type: "Lowercase" }, {
        type: "Strip",
        strip_left: true,
        strip_right: true,
      }),
    }),
  "metaspace, always": () => trained({ pre_tokenizer: metaspace("always"), decoder: { ...metaspace("always") } }, pieces),
  "metaspace, first": () => trained({ pre_tokenizer: metaspace("first", false), decoder: piecesDecoder }, pieces),
  "metaspace, never": () => trained({ pre_tokenizer: metaspace("never"), decoder: metaspace("never") }, pieces),
  "unknown characters": () =>
    trained({ pre_tokenizer: { type: "Whitespace" }, decoder: { type: "Fuse" } }, { unk_token: "<unk>" }),
  "unknown characters, fused": () => trained({ decoder: { type: "Fuse" } }, { unk_token: "<unk>", fuse_unk: true }),
  "ends of words": () =>
    trained({ pre_tokenizer: { type: "WhitespaceSplit" }, decoder: { type: "BPEDecoder", suffix: "</w>" } }, {
      unk_token: "<unk>",
      end_of_word_suffix: "</w>",
    }),
  "middles of words": () =>
    trained({ pre_tokenizer: { type: "Whitespace" }, decoder: null }, { unk_token: "<unk>", continuing_subword_prefix: "##" }),
  "tokens with white space": () => withAdded(trained({ ...rule("gpt-2"), normalizer: { type: "Lowercase" } })),
} as const satisfies Readonly<Record<string, () => TokenizerJson>>;

/** All kinds that were given to the implementation in Rust. */
export const recordedKinds: Readonly<Record<string, () => TokenizerJson>> = { ...ggufKinds, ...otherKinds };
