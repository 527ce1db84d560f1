/**
 * The fields of `tokenizer.json` and `tokenizer_config.json` that are known. Each part of a tokenizer has a table for each type that it may
 * be of: what is in none of them is refused by name.
 *
 * @module
 */

import { checkFields, type Field, type FieldTable, type ReadingOptions, short } from "../io/fields.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";

const flag = (means: string): Field => ({ means, wanted: "true or false", accepts: (value) => typeof value === "boolean" });
const text = (means: string): Field => ({ means, wanted: "a text", accepts: (value) => typeof value === "string" });
const char = (means: string): Field => ({
  means,
  wanted: "one character",
  accepts: (value) => typeof value === "string" && [...value].length === 1,
});
const count = (means: string): Field => ({
  means,
  wanted: "a whole number from 0",
  accepts: (value) => Number.isInteger(value) && (value as number) >= 0,
});
const list = (means: string): Field => ({ means, wanted: "a list", accepts: (value) => Array.isArray(value) });
const oneOf = (means: string, ...names: string[]): Field => ({
  means,
  wanted: names.map((name) => JSON.stringify(name)).join(" or "),
  accepts: (value) => names.includes(value as string),
});
const ignored = (means: string, why: string): Field => ({ means, ignored: why });
const type: Field = { means: "which of these it is" };

const offsets = "it changes offsets into the text, which are not computed";
const behavior = oneOf(
  "what becomes of what the pattern matches",
  ...["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"],
);
const pattern: Field = {
  means: "what is looked for",
  wanted: 'an object with "String" or "Regex"',
  accepts: (value) => isJsonObject(value) && (typeof value.String === "string" || typeof value.Regex === "string"),
};
const byteLevel: FieldTable = {
  type,
  add_prefix_space: flag("whether a space is put before a text that begins with none"),
  trim_offsets: ignored("whether spaces count as part of tokens", offsets),
  use_regex: flag("whether GPT-2's rule splits the text"),
};
const metaspace: FieldTable = {
  type,
  replacement: char("what stands for a space"),
  str_rep: ignored("the same as replacement", "older files say it twice"),
  prepend_scheme: oneOf("when a space is put before a text", "always", "first", "never"),
  add_prefix_space: flag("older name: true for always, false for never"),
  split: flag("whether words are merged one by one"),
};
const replace: FieldTable = { type, pattern, content: text("what stands in its place") };

/** Kinds of rewriting before the text is split, by type. */
export const normalizerFields: Readonly<Record<string, FieldTable>> = {
  Sequence: { type, normalizers: list("one after another") },
  NFC: { type },
  NFD: { type },
  NFKC: { type },
  NFKD: { type },
  Lowercase: { type },
  StripAccents: { type },
  Strip: {
    type,
    strip_left: flag("whether white space at the start goes"),
    strip_right: flag("whether white space at the end goes"),
  },
  Prepend: { type, prepend: text("what is put before the text") },
  Replace: replace,
  ByteLevel: { type },
};

/** Kinds of splitting before merging, by type. */
export const preTokenizerFields: Readonly<Record<string, FieldTable>> = {
  Sequence: { type, pretokenizers: list("one after another") },
  ByteLevel: byteLevel,
  Split: { type, pattern, behavior, invert: flag("whether matches and what lies between change places") },
  Digits: { type, individual_digits: flag("whether each digit stands alone") },
  Punctuation: { type, behavior },
  Whitespace: { type },
  WhitespaceSplit: { type },
  CharDelimiterSplit: { type, delimiter: char("where the text is split; it is dropped") },
  Metaspace: metaspace,
};

/** Kinds of turning tokens into text, by type. */
export const decoderFields: Readonly<Record<string, FieldTable>> = {
  Sequence: { type, decoders: list("one after another") },
  ByteLevel: byteLevel,
  ByteFallback: { type },
  Fuse: { type },
  Strip: { type, content: char("what is cut off"), start: count("how many at the start"), stop: count("how many at the end") },
  Replace: replace,
  Metaspace: metaspace,
  BPEDecoder: { type, suffix: text("what ends a word") },
};

/** Kinds of adding special tokens, by type. */
export const postProcessorFields: Readonly<Record<string, FieldTable>> = {
  Sequence: { type, processors: list("one after another") },
  ByteLevel: byteLevel,
  TemplateProcessing: {
    type,
    single: list("what is put around one text"),
    pair: ignored("what is put around two texts", "texts are encoded one at a time"),
    special_tokens: { means: "ids of the tokens that are put there", wanted: "an object", accepts: isJsonObject },
  },
  RobertaProcessing: {
    type,
    sep: list("the token at the end, and its id"),
    cls: list("the token at the start, and its id"),
    trim_offsets: ignored("whether spaces count as part of tokens", offsets),
    add_prefix_space: ignored("whether the pre-tokenizer puts a space before", offsets),
  },
  BertProcessing: { type, sep: list("the token at the end, and its id"), cls: list("the token at the start, and its id") },
};

/** Models, by type. */
export const modelFields: Readonly<Record<string, FieldTable>> = {
  BPE: {
    type,
    vocab: { means: "id of each token", wanted: "an object", accepts: isJsonObject },
    merges: list("pairs of tokens to be merged, the first ones first"),
    dropout: { means: "share of merges left out at random", wanted: "none", accepts: (value) => value === 0 },
    unk_token: text("the token for what has none"),
    continuing_subword_prefix: text("what tokens within a word begin with"),
    end_of_word_suffix: text("what the last token of a word ends with"),
    fuse_unk: flag("whether unknown characters in a row share one token"),
    byte_fallback: flag("whether unknown characters become tokens of bytes"),
    ignore_merges: flag("whether a word that is a token is that, whatever the merges"),
  },
};

/** Tokens beside the model. */
export const addedTokenFields: FieldTable = {
  id: count("the token's id"),
  content: text("how it is spelt"),
  single_word: flag("whether it is left alone within words"),
  lstrip: flag("whether it takes white space before it"),
  rstrip: flag("whether it takes white space behind it"),
  normalized: flag("whether it is looked for in the normalized text"),
  special: flag("whether it is more than text"),
};

/** The file `tokenizer.json`. */
export const tokenizerFields: FieldTable = {
  version: { means: "version of the layout", wanted: '"1.0"', accepts: (value) => value === "1.0" },
  truncation: ignored("where long texts are cut", "transformers sets it anew for each call"),
  padding: ignored("what short texts are filled up with", "transformers sets it anew for each call"),
  added_tokens: list("tokens beside the model"),
  normalizer: { means: "what rewrites the text first" },
  pre_tokenizer: { means: "what splits it" },
  post_processor: { means: "what adds special tokens" },
  decoder: { means: "what makes text of tokens" },
  model: { means: "vocabulary and merges" },
};

const parts = [
  { field: "normalizer", inner: "normalizers", types: normalizerFields },
  { field: "pre_tokenizer", inner: "pretokenizers", types: preTokenizerFields },
  { field: "decoder", inner: "decoders", types: decoderFields },
  { field: "post_processor", inner: "processors", types: postProcessorFields },
  { field: "model", inner: "", types: modelFields },
] as const;

const action = "Cannot load a tokenizer";

/** Checks all parts of a `tokenizer.json`. Throws a `RangeError` that names the first field, type or value that is not known. */
export function checkTokenizerJson(json: JsonObject, reading: ReadingOptions): void {
  checkFields(json, tokenizerFields, { action, what: "NAME of tokenizer.json", ...reading });
  for (const token of (json.added_tokens ?? []) as readonly unknown[]) {
    if (!isJsonObject(token) || token.id === undefined || token.content === undefined) {
      throw new RangeError(`${action}: added token ${short(token)} of tokenizer.json has no id or no content`);
    }
    checkFields(token, addedTokenFields, { action, what: `NAME of added token ${short(token.content)}`, ...reading });
  }
  for (const { field, inner, types } of parts) {
    if (json[field] !== null && json[field] !== undefined) checkPart(json[field], { field, inner, types }, reading);
  }
}

interface Part {
  readonly field: string;
  /** Where a sequence has its steps. */
  readonly inner: string;
  readonly types: Readonly<Record<string, FieldTable>>;
}

function checkPart(part: unknown, { field, inner, types }: Part, reading: ReadingOptions): void {
  const name = isJsonObject(part) ? part.type ?? (field === "model" ? "BPE" : undefined) : undefined;
  if (!isJsonObject(part) || typeof name !== "string" || !Object.hasOwn(types, name)) {
    throw new RangeError(
      `${action}: ${field} of tokenizer.json is ${name === undefined ? short(part) : `of type ${name}`}, ` +
        `wanted ${Object.keys(types).join(", ")}`,
    );
  }
  checkFields(part, types[name], { action, what: `NAME of ${field} ${name}`, ...reading });
  if (name !== "Sequence") return;
  if (!Array.isArray(part[inner])) throw new RangeError(`${action}: ${field} of tokenizer.json is a Sequence without ${inner}`);
  for (const step of part[inner]) checkPart(step, { field, inner, types }, reading);
}

/** Steps of a part: those of a sequence, sequences in it included, or the one there is. */
export function stepsOf(part: unknown): JsonObject[] {
  if (!isJsonObject(part)) return [];
  if (part.type !== "Sequence") return [part];
  return [part.normalizers ?? part.pretokenizers ?? part.decoders ?? part.processors].flat().flatMap(stepsOf);
}

const slow = "tokenizer.json says the same";
const others = "it does not change what ids texts have";
const elsewhere = "the model's settings say it";

/** The file `tokenizer_config.json`. */
export const tokenizerConfigFields: FieldTable = {
  tokenizer_class: { means: "transformers' class; those of Llama take the begin and end token from the fields below" },
  add_bos_token: flag("whether a begin token is added"),
  add_eos_token: flag("whether an end token is added"),
  bos_token: { means: "the token that begins a text" },
  eos_token: { means: "the token that ends a text" },
  chat_template: {
    means: "how conversations are written",
    wanted: "a text, or a list of texts with names",
    accepts: (value) => typeof value === "string" || Array.isArray(value),
  },
  add_prefix_space: flag("whether a space is put before a text; where it differs from tokenizer.json it is refused"),
  added_tokens_decoder: { means: "tokens beside the model; where they differ from tokenizer.json they are refused" },
  split_special_tokens: {
    means: "whether special tokens are text by default",
    ignored: "each call says it (parseSpecial)",
  },
  do_lower_case: { means: "whether texts are in small letters", wanted: "false", accepts: (value) => value === false },
  unk_token: ignored("the token for what has none", slow),
  pad_token: ignored("the token that fills up", others),
  "*_token": ignored("a token with a role", others),
  "*_token_id": ignored("a token with a role", others),
  additional_special_tokens: ignored("more special tokens", slow),
  extra_special_tokens: ignored("more special tokens", slow),
  model_specific_special_tokens: ignored("more special tokens", slow),
  backend: ignored("what library reads the tokenizer", others),
  is_local: ignored("where the file was read from", others),
  legacy: ignored("how spaces are treated behind special tokens", slow),
  use_default_system_prompt: ignored("what an old chat template did", others),
  use_fast: ignored("which of two implementations is used", others),
  errors: ignored("what becomes of bytes that are not UTF-8", others),
  clean_up_tokenization_spaces: ignored("whether decoding drops spaces before punctuation", "text comes back as it went in"),
  spaces_between_special_tokens: ignored("whether decoding puts spaces between special tokens", "text comes back as it went in"),
  model_max_length: ignored("longest text", elsewhere),
  max_length: ignored("longest text", elsewhere),
  model_input_names: ignored("names of inputs in transformers", others),
  name_or_path: ignored("where the tokenizer came from", others),
  special_tokens_map_file: ignored("where the tokenizer came from", others),
  tokenizer_file: ignored("where the tokenizer came from", others),
  vocab_file: ignored("where the tokenizer came from", others),
  from_slow: ignored("where the tokenizer came from", others),
  sp_model_kwargs: ignored("settings of another implementation", slow),
  padding_side: ignored("where padding goes", others),
  truncation_side: ignored("where long texts are cut", others),
  "pad*": ignored("how texts are padded", others),
  "trunc*": ignored("how texts are cut", others),
  stride: ignored("how texts are cut", others),
  response_schema: ignored("how answers are taken apart", others),
  auto_map: ignored("code that comes with the tokenizer", "no such code is run"),
  processor_class: ignored("what goes with it in transformers", others),
  return_token_type_ids: ignored("what transformers returns", others),
  transformers_version: ignored("version that wrote the file", others),
  added_tokens: ignored("tokens beside the model", slow),
};
