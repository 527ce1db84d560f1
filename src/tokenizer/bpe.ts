/**
 * Byte-pair encoding of single words: the model of a `tokenizer.json`.
 *
 * @module
 */

import { type IdList, type Merge, MergeTable } from "./merges.ts";
import type { TokenizerModelJson } from "./tokenizer.ts";

/** Words that are remembered; the table is emptied when it is full. */
const rememberedWords = 1 << 16;
/** Characters of the longest word that is remembered. */
const longestRemembered = 64;

/** A model that gives words ids. */
export class Bpe {
  /** Id of each token. */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #options: TokenizerModelJson;
  readonly #merges: MergeTable;
  readonly #seams: Seams | undefined;
  /** Ids of the characters of one code unit; -1 where there is none. */
  readonly #units = new Int32Array(1 << 16).fill(-1);
  readonly #bytes: readonly (number | undefined)[];
  readonly #unknown: number | undefined;
  readonly #longest: number;
  readonly #words = new Map<string, Uint32Array>();
  readonly #parts = new Map<string, Uint32Array>();
  #symbols = new Int32Array(256);

  /** @param spell what is left to be done to a word */
  constructor(model: TokenizerModelJson, private readonly spell?: (word: string) => string) {
    this.#options = model;
    this.vocabulary = vocabularyOf(model);
    const merges = mergesOf(model, this.vocabulary);
    this.#merges = new MergeTable(merges);
    for (const [token, id] of this.vocabulary) if (token.length === 1) this.#units[token.charCodeAt(0)] = id;
    const byte = (_: unknown, value: number) => this.vocabulary.get(byteToken(value));
    this.#bytes = model.byte_fallback ? Array.from({ length: 256 }, byte) : [];
    this.#unknown = unknownOf(model, this.vocabulary);
    this.#longest = this.vocabulary.keys().reduce((longest, token) => Math.max(longest, token.length), 0);
    this.#seams = this.#canCut() ? new Seams(merges, this.vocabulary) : undefined;
  }

  /** Whether characters keep their ids wherever a word is cut. */
  #canCut(): boolean {
    const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix, fuse_unk: fuses, byte_fallback: bytes } =
      this.#options;
    const isKnown = bytes && this.#bytes.every((id) => id !== undefined);
    return !(prefix || suffix) && (isKnown === true || !fuses || this.#unknown === undefined);
  }

  /** Adds the ids of a word. */
  encode(word: string, ids: IdList): void {
    let found = this.#words.get(word);
    if (found === undefined) {
      const spelled = this.spell ? this.spell(word) : word;
      if (this.#isLong(spelled)) return this.#encodeLong(spelled, ids);
      found = this.#encodeSpelled(spelled);
      remember(this.#words, word, found);
    }
    ids.pushAll(found);
  }

  #isLong(spelled: string): boolean {
    if (spelled.length <= longestRemembered) return false;
    return !(this.#options.ignore_merges && spelled.length <= this.#longest && this.vocabulary.has(spelled));
  }

  /** Cuts a long word where no token goes across, so that its parts are found again. */
  #encodeLong(word: string, ids: IdList): void {
    let start = 0;
    for (let end = 1; end <= word.length; end++) {
      if (end < word.length && !this.#seams?.isAt(word, end)) continue;
      const part = start === 0 && end === word.length ? word : word.slice(start, end);
      start = end;
      const known = this.#parts.get(part);
      const found = known ?? this.#mergeWord(part);
      if (!known) remember(this.#parts, part, found);
      ids.pushAll(found);
    }
  }

  #encodeSpelled(word: string): Uint32Array {
    const whole = this.#options.ignore_merges ? this.vocabulary.get(word) : undefined;
    return whole === undefined ? this.#mergeWord(word) : Uint32Array.of(whole);
  }

  #mergeWord(word: string): Uint32Array {
    const most = 4 * word.length; // bytes of a character that is no token
    if (this.#symbols.length < most) this.#symbols = new Int32Array(2 * most);
    const count = this.#isPlain(word) ? word.length : this.#spellOut(word);
    const left = this.#merges.merge(this.#symbols, count);
    const ids = Uint32Array.from(this.#symbols.subarray(0, left));
    if (word.length > 1 << 16) this.#symbols = new Int32Array(256); // memory of a long word is not kept
    return ids;
  }

  /** Takes a word whose characters are tokens of one code unit each; false where one is not. */
  #isPlain(word: string): boolean {
    if (this.#options.continuing_subword_prefix || this.#options.end_of_word_suffix) return false;
    for (let i = 0; i < word.length; i++) {
      const id = this.#units[word.charCodeAt(i)];
      if (id < 0) return false;
      this.#symbols[i] = id;
    }
    return true;
  }

  /** Symbols of any word: its characters, or bytes, or the unknown token. Returns how many. */
  #spellOut(word: string): number {
    const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix, fuse_unk: fuses } = this.#options;
    let [count, end, pending] = [0, 0, false];
    for (const char of word) {
      end += char.length;
      const spelled = `${end > char.length && prefix ? prefix : ""}${char}${end === word.length && suffix ? suffix : ""}`;
      const id = this.vocabulary.get(spelled);
      if (id === undefined) {
        const bytes = this.#bytesOf(spelled);
        if (bytes) {
          for (const byte of bytes) this.#symbols[count++] = byte;
        } else if (this.#unknown !== undefined) {
          if (pending && !fuses) this.#symbols[count++] = this.#unknown;
          pending = true;
        }
        continue;
      }
      if (pending) this.#symbols[count++] = this.#unknown!;
      pending = false;
      this.#symbols[count++] = id;
    }
    if (pending) this.#symbols[count++] = this.#unknown!;
    return count;
  }

  #bytesOf(char: string): number[] | undefined {
    if (this.#bytes.length === 0) return undefined;
    const ids = Array.from(encoder.encode(char), (byte) => this.#bytes[byte]);
    return ids.every((id) => id !== undefined) ? ids : undefined;
  }
}

const encoder = new TextEncoder();

/** How a vocabulary spells a byte that is a token of its own. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function remember(table: Map<string, Uint32Array>, word: string, ids: Uint32Array): void {
  if (word.length > longestRemembered) return;
  if (table.size >= rememberedWords) table.clear();
  table.set(word.length < 13 ? word : ` ${word}`.slice(1), ids); // a longer slice would keep the text that it was cut from
}

/** Throws a `RangeError` unless a number may be the id of a token: what runs models counts them in 32 bits with a sign. */
export function requireId(id: unknown, what: string): void {
  if (Number.isInteger(id) && id as number >= 0 && id as number < 2 ** 31) return;
  throw new RangeError(`${what} has the id ${id}, wanted a whole number from 0 to ${2 ** 31 - 1}`);
}

function vocabularyOf({ vocab = {} }: TokenizerModelJson): ReadonlyMap<string, number> {
  const vocabulary = new Map(Object.entries(vocab));
  const used = new Map<number, string>();
  for (const [token, id] of vocabulary) {
    requireId(id, `token ${JSON.stringify(token)}`);
    if (used.has(id)) {
      throw new RangeError(`tokens ${JSON.stringify(used.get(id))} and ${JSON.stringify(token)} share the id ${id}`);
    }
    used.set(id, token);
  }
  return vocabulary;
}

/** The two tokens of a merge, in either spelling: `"a b"` or `["a", "b"]`. */
export function pairOf(merge: unknown): [left: string, right: string] {
  const pair = typeof merge === "string" ? merge.split(" ") : merge;
  if (Array.isArray(pair) && pair.length === 2 && pair.every((token) => typeof token === "string" && token !== "")) {
    return pair as [string, string];
  }
  throw new RangeError(`merge ${JSON.stringify(merge)} is no pair of tokens`);
}

function mergesOf(model: TokenizerModelJson, vocabulary: ReadonlyMap<string, number>): Merge[] {
  const { merges = [], continuing_subword_prefix: prefix } = model;
  const cut = typeof prefix === "string" ? prefix.length : 0;
  return merges.map((merge) => {
    const [left, right] = pairOf(merge);
    const product = left + right.slice(cut);
    const [leftId, rightId, productId] = [left, right, product].map((token) => vocabulary.get(token));
    if (leftId !== undefined && rightId !== undefined && productId !== undefined) {
      return { left: leftId, right: rightId, product: productId };
    }
    const missing = leftId === undefined ? left : rightId === undefined ? right : product;
    throw new RangeError(`merge ${JSON.stringify(merge)} needs the token ${JSON.stringify(missing)}, which the vocabulary lacks`);
  });
}

function unknownOf({ unk_token: token }: TokenizerModelJson, vocabulary: ReadonlyMap<string, number>): number | undefined {
  if (token === undefined || token === null) return undefined;
  const id = vocabulary.get(token as string);
  if (id === undefined) throw new RangeError(`unk_token ${JSON.stringify(token)} is not in the vocabulary`);
  return id;
}

/** Where a word may be cut: between two characters that no merge joins. */
class Seams {
  /** Which pairs of code units merges join, by a hash; of different pairs with one hash both count as joined. */
  readonly #joined = new Uint8Array(1 << 20);
  readonly #cuts: boolean;

  constructor(merges: readonly Merge[], vocabulary: ReadonlyMap<string, number>) {
    const texts = new Map(vocabulary.entries().map(([token, id]) => [id, token]));
    const isByte = (id: number): boolean => /^<0x[0-9A-F]{2}>/.test(texts.get(id)!);
    this.#cuts = !merges.some(({ left, right }) => isByte(left) || isByte(right)); // bytes of one character
    for (const { left, right } of merges) {
      const last = texts.get(left)!;
      this.#joined[hash(last.charCodeAt(last.length - 1), texts.get(right)!.charCodeAt(0))] = 1;
    }
  }

  /** Whether nothing goes across the place before the code unit at `at`. */
  isAt(word: string, at: number): boolean {
    const behind = word.charCodeAt(at);
    if (this.#joined[hash(word.charCodeAt(at - 1), behind)] === 1) return false;
    const isWithin = behind >= 0xdc00 && behind < 0xe000; // a character of two code units
    return this.#cuts && !isWithin;
  }
}

function hash(before: number, behind: number): number {
  return (Math.imul(before, 0x9e3779b1) + Math.imul(behind, 0x85ebca6b)) >>> 12;
}
