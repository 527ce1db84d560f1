/**
 * llama.cpp's names of the rules by which byte-level tokenizers split texts, and the name of a given rule, by what it does.
 *
 * @module
 */

import { Bpe } from "./bpe.ts";
import { IdList } from "./merges.ts";
import { bytesOf } from "./decode.ts";
import { longProbes, probes } from "./probes.ts";
import { type Splitter, splitterOf, wordsOf } from "./split.ts";
import type { TokenizerJson } from "./tokenizer.ts";

/** What a name of llama.cpp stands for. */
export interface NamedRule {
  /** Content of the field `pre_tokenizer`. */
  readonly part: unknown;
  /** Whether a word that is a token is that, whatever the merges. */
  readonly ignoreMerges: boolean;
  /** Normalizer of the models that the name is of, which llama.cpp passes over for them. */
  readonly normalizer?: string;
}

const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
const gpt2 = { ...bytes, use_regex: true };
const split = (regex: string) => ({ type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false });
const sequence = (...pretokenizers: unknown[]) => ({ type: "Sequence", pretokenizers });

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const withDigits = (digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** The splitting rule of Llama 3, as in its `tokenizer.json`. */
export const llama3Split = withDigits("\\p{N}{1,3}");

const llama3 = sequence(split(llama3Split), bytes);
const oneDigit = sequence({ type: "Digits", individual_digits: true }, gpt2);

/** The rules that are known, by the names that are written. */
export const namedRules = {
  "gpt-2": { part: gpt2, ignoreMerges: false },
  "llama-bpe": { part: llama3, ignoreMerges: true },
  "smaug-bpe": { part: llama3, ignoreMerges: false },
  "smollm": { part: oneDigit, ignoreMerges: false },
  "qwen2": { part: sequence(split(withDigits("\\p{N}")), bytes), ignoreMerges: false, normalizer: "NFC" },
} as const satisfies Readonly<Record<string, NamedRule>>;

/** Other names that llama.cpp has for the same rules. */
const aliases: Readonly<Record<string, keyof typeof namedRules>> = {
  "phi-2": "gpt-2",
  "llama3": "llama-bpe",
  "llama-v3": "llama-bpe",
  "falcon3": "llama-bpe",
  "pixtral": "llama-bpe",
  "dbrx": "smaug-bpe",
  "starcoder": "smollm",
  "refact": "smollm",
  "command-r": "smollm",
  "codeshell": "smollm",
  "exaone": "smollm",
  "deepseek-r1-qwen": "qwen2",
};

/** All names that are read. */
export const readableNames: readonly string[] = [...Object.keys(namedRules), ...Object.keys(aliases)];

/** The rule of a name; undefined where that is not known. */
export function ruleNamed(name: string): NamedRule | undefined {
  const key = Object.hasOwn(aliases, name) ? aliases[name] : name;
  return Object.hasOwn(namedRules, key) ? namedRules[key as keyof typeof namedRules] : undefined;
}

/** llama.cpp's name for how a byte-level tokenizer splits texts. Throws a `RangeError` that says why there is none. */
export function ruleNameOf({ model = {}, pre_tokenizer: part }: TokenizerJson): keyof typeof namedRules {
  const splitter = splitterOf(part);
  if (!splitter.spell) throw new RangeError("its pre_tokenizer does not end in ByteLevel");
  if (!probes.every((text) => wordsOf(splitter, text).join("") === text)) {
    throw new RangeError("its pre_tokenizer adds to texts (add_prefix_space) or drops some of them, which GGUF cannot say");
  }
  if (!model.merges?.length) return "gpt-2"; // without merges no split can change the tokens
  const names = Object.keys(namedRules) as (keyof typeof namedRules)[];
  const same = names.filter((name) => splitsLike(splitter, splitterOf(namedRules[name].part)));
  if (same.length === 0) {
    throw new RangeError(
      `its pre_tokenizer splits texts like none of ${names.join(", ")}, llama.cpp's rules that are known here`,
    );
  }
  const ignores = model.ignore_merges === true;
  const fitting = same.find((name) => namedRules[name].ignoreMerges === ignores) ??
    (unreachableWord(model, splitter) === undefined ? same[0] : undefined);
  if (fitting) return fitting;
  throw new RangeError(
    `it has ignore_merges ${ignores}, but llama.cpp's rule ${same.join(", ")} is without: ` +
      `the token ${JSON.stringify(unreachableWord(model, splitter))} is no result of merges`,
  );
}

function splitsLike(a: Splitter, b: Splitter): boolean {
  return probes.every((text) => wordsOf(a, text).join("\0") === wordsOf(b, text).join("\0")) &&
    longProbes().every((text) => wordsOf(a, text).join("\0") === wordsOf(b, text).join("\0"));
}

/** A token that is a word by itself, and that merges do not give: it matters whether they are ignored. */
function unreachableWord(model: NonNullable<TokenizerJson["model"]>, splitter: Splitter): string | undefined {
  const plain = new Bpe({ ...model, ignore_merges: false });
  for (const [token, id] of plain.vocabulary) {
    const ids = new IdList(4);
    plain.encode(token, ids);
    if (ids.length === 1 && ids.toArray()[0] === id) continue;
    const word = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf([token]));
    if (splitter.spell!(word) === token && wordsOf(splitter, word).length === 1) return token;
  }
  return undefined;
}
