/**
 * Tokenizers like SentencePiece's in GGUF: scores of tokens in place of merges.
 *
 * llama.cpp merges any two neighbours whose texts joined are a token, the one of the largest score first. A list of merges says the same
 * where it has every such pair, and all pairs of one token in a row.
 *
 * @module
 */

import { byteToken, pairOf } from "./bpe.ts";
import { stepsOf } from "./fields.ts";
import { normalizerOf } from "./normalize.ts";
import { probes } from "./probes.ts";
import { splitterOf, wordsOf } from "./split.ts";
import type { TokenizerJson, TokenizerModelJson } from "./tokenizer.ts";

/** What stands for a space. */
const mark = "▁";

/** Whether a tokenizer is like SentencePiece's rather than byte-level: characters are tokens, and unknown ones become bytes. */
export function isLikeSentencePiece({ model, pre_tokenizer: part }: TokenizerJson): boolean {
  return model?.byte_fallback === true && !stepsOf(part).some(({ type }) => type === "ByteLevel");
}

/** The order of tokens that merges make, and how spaces are treated. */
export interface Pieces {
  /** Place of a token among those that merges make. */
  readonly places: ReadonlyMap<string, number>;
  /** Whether a space is put before a text. */
  readonly addsSpace: boolean;
}

/** What GGUF says of a tokenizer like SentencePiece's. Throws a `RangeError` that says why it cannot. */
export function piecesOf(json: TokenizerJson): Pieces {
  const addsSpace = spacing(json);
  const model = json.model ?? {};
  const { vocab = {}, merges = [], continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = model;
  if (prefix || suffix) {
    throw new RangeError("it has a continuing_subword_prefix or an end_of_word_suffix, which GGUF cannot say");
  }
  const missing = Array.from({ length: 256 }, (_, byte) => byteToken(byte)).find((token) => !Object.hasOwn(vocab, token));
  if (missing) throw new RangeError(`it has no token ${missing} for that byte`);
  const places = placesOf(merges);
  if (model.ignore_merges) {
    throw new RangeError("it has ignore_merges, which GGUF cannot say of such a tokenizer");
  }
  refuseOtherPairs(json, places);
  return { places, addsSpace };
}

/** Whether a space is put before each text. Throws where texts are rewritten or split otherwise than llama.cpp does. */
function spacing({ normalizer, pre_tokenizer: part, model }: TokenizerJson): boolean {
  const normalize = normalizerOf(normalizer) ?? ((text: string) => text);
  const splitter = splitterOf(part);
  const addsSpace = normalize("a") + wordsOf(splitter, "a").join("") !== "aa";
  const joinsBefore = (model?.merges ?? []).some((merge) => pairOf(merge)[1].startsWith(mark)); // then words are no words for llama.cpp
  for (const text of probes) {
    const wanted = (addsSpace ? mark : "") + text.replaceAll(" ", mark);
    for (const isFirst of [true, false]) {
      const words = wordsOf(splitter, normalize(text), isFirst);
      const isCut = words.some((word, at) => at > 0 && (joinsBefore || !word.startsWith(mark)));
      if (words.join("") !== wanted || isCut) {
        throw new RangeError(
          `its normalizer and pre_tokenizer make ${JSON.stringify(words)} of ${JSON.stringify(text)}` +
            `${isFirst ? "" : " behind a special token"}, and llama.cpp ${JSON.stringify(wanted)}`,
        );
      }
    }
  }
  return addsSpace;
}

function placesOf(merges: readonly unknown[]): Map<string, number> {
  const places = new Map<string, number>();
  let before: string | undefined;
  for (const merge of merges) {
    const product = pairOf(merge).join("");
    if (product === before) continue;
    if (places.has(product)) {
      throw new RangeError(
        `its merges make ${JSON.stringify(product)} in several places of their order, while llama.cpp has one score a token`,
      );
    }
    places.set(product, places.size);
    before = product;
  }
  return places;
}

/**
 * Refuses a vocabulary in which two tokens that merges leave apart make a third one: llama.cpp would join them, even to a special token
 * that nobody meant.
 */
function refuseOtherPairs({ model, added_tokens: added = [] }: TokenizerJson, places: ReadonlyMap<string, number>): void {
  const { vocab = {}, merges = [] } = model ?? {};
  const spelled = added.map((token) => (token as { readonly content: string }).content);
  const listed = new Set(merges.map((merge) => pairOf(merge).join("\0")));
  const isMade = (text: string) => places.has(text) || [...text].length === 1 && Object.hasOwn(vocab, text);
  for (const token of new Set([...Object.keys(vocab), ...spelled])) {
    for (const [left, right] of splits(token)) {
      if (isMade(left) && isMade(right) && !listed.has(`${left}\0${right}`)) {
        throw new RangeError(
          `its merges do not have ${JSON.stringify([left, right])}, which llama.cpp joins to the token ${JSON.stringify(token)}`,
        );
      }
    }
  }
}

/** All ways to cut a text in two, between characters. */
function* splits(text: string): Generator<readonly [left: string, right: string]> {
  let at = 0;
  for (const char of text) {
    at += char.length;
    if (at < text.length) yield [text.slice(0, at), text.slice(at)];
  }
}

/** The merges that scores stand for: all pairs of tokens that make a third one, the one of the largest score first. */
export function mergesOfScores(vocabulary: ReadonlyMap<string, number>, scoreOf: (token: string) => number): [string, string][] {
  const isByte = (token: string) => /^<0x[0-9A-F]{2}>$/.test(token);
  const made = [...vocabulary.keys()].filter((token) => !isByte(token)).flatMap((token) => {
    const pairs = [...splits(token)].filter((pair) => pair.every((part) => vocabulary.has(part) && !isByte(part)));
    return pairs.length > 0 ? [{ token, pairs: pairs.toReversed() }] : []; // the longest left part first, as llama.cpp goes from the left
  });
  const byScore = made.sort((a, b) => scoreOf(b.token) - scoreOf(a.token) || vocabulary.get(a.token)! - vocabulary.get(b.token)!);
  return byScore.flatMap(({ pairs }) => pairs.map(([left, right]): [string, string] => [left, right]));
}

/** The parts of a `tokenizer.json` of this kind, apart from its tokens. */
export function piecesJson(
  { addsSpace, model }: { readonly addsSpace: boolean; readonly model: TokenizerModelJson },
): TokenizerJson {
  const replace = { type: "Replace", pattern: { String: " " }, content: mark };
  const toSpace = { type: "Replace", pattern: { String: mark }, content: " " };
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  return {
    normalizer: addsSpace ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: mark }, replace] } : replace,
    pre_tokenizer: null,
    decoder: { type: "Sequence", decoders: [toSpace, { type: "ByteFallback" }, { type: "Fuse" }, ...addsSpace ? [strip] : []] },
    model: { ...model, fuse_unk: true, byte_fallback: true },
  };
}
