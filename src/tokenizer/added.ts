/**
 * Tokens beside the model: special ones, and others that are found in a text before anything else is done to it.
 *
 * @module
 */

import type { JsonObject } from "../io/json.ts";
import { requireId } from "./bpe.ts";
import type { Rewrite } from "./normalize.ts";

/** A token beside the model. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly normalized: boolean;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** The tokens of `added_tokens`. Throws a `RangeError` where one shares its id or spelling with another. */
export function addedTokensOf(list: readonly unknown[], vocabulary: ReadonlyMap<string, number>): AddedToken[] {
  const spellings = new Map(vocabulary.entries().map(([token, id]) => [id, token]));
  const tokens = list.map((each) => {
    const { id, content, special = false, normalized = !special, single_word, lstrip, rstrip } = each as JsonObject;
    return {
      ...{ id: id as number, content: content as string, special: special as boolean, normalized: normalized as boolean },
      ...{ singleWord: single_word === true, lstrip: lstrip === true, rstrip: rstrip === true },
    };
  });
  for (const { id, content } of tokens) {
    requireId(id, `added token ${JSON.stringify(content)}`);
    const [other, otherId] = [spellings.get(id), vocabulary.get(content)];
    if (other !== undefined && other !== content || otherId !== undefined && otherId !== id) {
      throw new RangeError(
        `added token ${JSON.stringify(content)} has the id ${id}, but the vocabulary gives ` +
          (otherId !== undefined ? `it ${otherId}` : `that to ${JSON.stringify(other)}`),
      );
    }
    spellings.set(id, content);
  }
  return tokens;
}

/** What a text is made of: tokens, and text between them. */
export type Found = (start: number, end: number, id: number | undefined) => void;

/** Finds tokens in texts, always the leftmost, and of those the longest. */
export class AddedTokens {
  readonly #raw: Finder | undefined;
  readonly #normalized: Finder | undefined;

  constructor(tokens: readonly AddedToken[], normalize?: Rewrite) {
    const byText = (normalized: boolean) =>
      tokens.filter((token) => token.normalized === normalized)
        .map((token) => [normalized && normalize ? normalize(token.content) : token.content, token] as const);
    this.#raw = finder(byText(false));
    this.#normalized = finder(byText(true));
  }

  /** In a text as it came. */
  find(text: string, parseSpecial: boolean, found: Found): void {
    find(this.#raw, text, parseSpecial, found);
  }

  /** In what a normalizer made of a piece. */
  findNormalized(text: string, parseSpecial: boolean, found: Found): void {
    find(this.#normalized, text, parseSpecial, found);
  }
}

interface Finder {
  readonly tokens: ReadonlyMap<string, AddedToken>;
  readonly pattern: RegExp;
  /** Whether there are others than special ones. */
  readonly hasPlain: boolean;
}

function finder(entries: readonly (readonly [string, AddedToken])[]): Finder | undefined {
  const tokens = new Map(entries.filter(([text]) => text !== ""));
  if (tokens.size === 0) return undefined;
  const longestFirst = [...tokens.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"), "g");
  return { tokens, pattern, hasPlain: tokens.values().some(({ special }) => !special) };
}

const word = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

function find(finder: Finder | undefined, text: string, parseSpecial: boolean, found: Found): void {
  let at = 0;
  if (finder && (parseSpecial || finder.hasPlain)) {
    const { pattern, tokens } = finder;
    for (const match of text.matchAll(pattern)) {
      const token = tokens.get(match[0])!;
      if (token.special && !parseSpecial) continue;
      let [start, end] = [match.index, match.index + match[0].length];
      if (token.singleWord && (word.test(characterBefore(text, start)) || word.test(characterAt(text, end)))) continue;
      if (token.lstrip) start = Math.max(at, withoutSpacesBefore(text, start));
      if (token.rstrip) end = withoutSpacesBehind(text, end);
      if (at < start) found(at, start, undefined);
      found(start, end, token.id);
      at = end;
    }
  }
  if (at < text.length) found(at, text.length, undefined);
}

function characterAt(text: string, at: number): string {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at)!) : "";
}

function characterBefore(text: string, at: number): string {
  const isPair = at > 1 && text.codePointAt(at - 2)! > 0xffff;
  return at === 0 ? "" : characterAt(text, at - (isPair ? 2 : 1));
}

const space = /^\p{White_Space}$/u;

function withoutSpacesBefore(text: string, at: number): number {
  while (at > 0 && space.test(text[at - 1])) at--;
  return at;
}

function withoutSpacesBehind(text: string, at: number): number {
  while (at < text.length && space.test(text[at])) at++;
  return at;
}
