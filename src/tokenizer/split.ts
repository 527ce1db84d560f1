/**
 * What splits a text before pairs are merged: the pre-tokenizers of a `tokenizer.json`.
 *
 * @module
 */

import type { JsonObject } from "../io/json.ts";
import { stepsOf } from "./fields.ts";
import { toByteSymbols } from "./normalize.ts";
import { compileRegex, Pattern } from "./regex.ts";
import { spelled } from "./regex_parse.ts";

/** Takes a piece of a text; `isFirst` where it begins the text. */
export type Take = (piece: string, isFirst: boolean) => void;

/** Splits a piece, and hands its parts on. */
type Step = (piece: string, isFirst: boolean, take: Take) => void;

/** How a text is split. */
export interface Splitter {
  /** Hands on the pieces of a text, in order. */
  split(text: string, isFirst: boolean, take: Take): void;
  /** What is left to be done to each piece, so that equal pieces need it once; nothing where absent. */
  readonly spell?: (piece: string) => string;
}

/** GPT-2's rule. */
const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The splitter that a pre-tokenizer describes. */
export function splitterOf(part: unknown): Splitter {
  const steps = stepsOf(part).flatMap(partsOf);
  const spells = steps.at(-1) === spellBytes; // else all pieces would be spelt, over and over
  const split = (spells ? steps.slice(0, -1) : steps).reduceRight<Step>(
    (next, step) => (piece, isFirst, take) =>
      step(piece, isFirst, (part, partIsFirst) => {
        if (part !== "") next(part, partIsFirst, take);
      }),
    (piece, isFirst, take) => take(piece, isFirst),
  );
  return { split, ...(spells ? { spell: toByteSymbols } : {}) };
}

/** The pieces of a text, in order. */
export function wordsOf({ split }: Splitter, text: string, isFirst = true): string[] {
  const words: string[] = [];
  split(text, isFirst, (word) => void words.push(word));
  return words;
}

const spellBytes: Step = (piece, isFirst, take) => take(toByteSymbols(piece), isFirst);

function partsOf(step: JsonObject): Step[] {
  switch (step.type) {
    case "ByteLevel": {
      const { add_prefix_space: prefixed = true, use_regex: splits = true } = step;
      const prefix: Step = (piece, isFirst, take) => take(piece.startsWith(" ") ? piece : ` ${piece}`, isFirst);
      return [...prefixed ? [prefix] : [], ...splits ? [matching(compiled(gpt2Pattern), "Isolated")] : [], spellBytes];
    }
    case "Split":
      return [matching(patternOf(step.pattern as JsonObject), step.behavior as Behavior, step.invert === true)];
    case "Digits":
      return [matching(new Pattern(/\p{N}/vy), step.individual_digits === true ? "Isolated" : "Contiguous")];
    case "Punctuation":
      return [matching(new Pattern(/[\p{P}$+<=>^`\|~]/vy), (step.behavior ?? "Isolated") as Behavior)];
    case "Whitespace":
      return [
        matching(
          new Pattern(
            /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/vy,
          ),
          "Removed",
          true,
        ),
      ];
    case "WhitespaceSplit":
      return [matching(new Pattern(/\p{White_Space}/vy), "Removed")];
    case "CharDelimiterSplit":
      return [matching(patternOf({ String: step.delimiter }), "Removed")];
    default:
      return metaspace(step);
  }
}

/** What becomes of what a pattern matches. */
type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

const patterns = new Map<string, Pattern>();

/** A pattern, compiled once: to see that it is fast takes time. */
function compiled(text: string): Pattern {
  let pattern = patterns.get(text);
  if (!pattern) patterns.set(text, pattern = compileRegex(text));
  return pattern;
}

function patternOf({ Regex: regex, String: literal }: JsonObject): Pattern {
  if (typeof regex === "string") return compiled(regex);
  return new Pattern(new RegExp([...literal as string].map(spelled).join(""), "vy"));
}

function matching(pattern: Pattern, behavior: Behavior, invert = false): Step {
  if (behavior === "Isolated") {
    return (piece, isFirst, take) => {
      let at = 0;
      pattern.forEachMatch(piece, (start, end) => {
        if (start > at) take(piece.slice(at, start), isFirst && at === 0);
        if (end > start) take(piece.slice(start, end), isFirst && start === 0);
        at = end;
      });
      if (at < piece.length) take(at === 0 ? piece : piece.slice(at), isFirst && at === 0);
    };
  }
  return (piece, isFirst, take) => {
    for (const { start, end } of joined(spansOf(pattern, piece, invert), behavior)) {
      take(piece.slice(start, end), isFirst && start === 0);
    }
  };
}

interface Span {
  readonly start: number;
  end: number;
  readonly matches: boolean;
}

/** Matches and what lies between them. */
function spansOf(pattern: Pattern, piece: string, invert: boolean): Span[] {
  const spans: Span[] = [];
  let at = 0;
  pattern.forEachMatch(piece, (start, end) => {
    if (start > at) spans.push({ start: at, end: start, matches: invert });
    spans.push({ start, end, matches: !invert });
    at = end;
  });
  if (at < piece.length) spans.push({ start: at, end: piece.length, matches: invert });
  return spans;
}

function joined(spans: readonly Span[], behavior: Exclude<Behavior, "Isolated">): Span[] {
  if (behavior === "Removed") return spans.filter(({ matches }) => !matches);
  const result: Span[] = [];
  let before = false; // whether the span before is a match
  for (const span of spans) {
    const joins = behavior === "Contiguous"
      ? span.matches === before
      : behavior === "MergedWithPrevious"
      ? span.matches && !before
      : before && !span.matches;
    const last = result.at(-1);
    if (joins && last) last.end = span.end;
    else result.push({ ...span });
    before = span.matches;
  }
  return result;
}

function metaspace({ replacement = "▁", prepend_scheme: scheme, add_prefix_space: prefixed, split = true }: JsonObject): Step[] {
  const mark = replacement as string;
  const when = scheme ?? (prefixed === false ? "never" : "always");
  const mark1: Step = (piece, isFirst, take) => {
    const marked = piece.replaceAll(" ", mark);
    const prepends = (when === "always" || when === "first" && isFirst) && !marked.startsWith(mark);
    take(prepends ? mark + marked : marked, isFirst);
  };
  return split ? [mark1, matching(patternOf({ String: mark }), "MergedWithNext")] : [mark1];
}
