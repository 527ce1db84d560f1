/**
 * The tokenizer of a GGUF file as a Hugging Face `tokenizer.json`.
 *
 * @module
 */

import { checkFields, type ReadingOptions } from "../io/fields.ts";
import type { GgufArray, GgufMetadata } from "../io/gguf.ts";
import { endKeys, ggufTokenizerFields, knownEnds, ownKeys, tokenType } from "./gguf_fields.ts";
import { mergesOfScores, piecesJson } from "./gguf_pieces.ts";
import { readableNames, ruleNamed } from "./gguf_pre.ts";
import type { TokenizerJson } from "./tokenizer.ts";

/** A tokenizer as GGUF has it. */
export interface GgufTokenizer {
  /** Content of a `tokenizer.json`. */
  readonly json: TokenizerJson;
  /** Token that begins every text, where one is added. */
  readonly beginToken?: number;
  /** Tokens that end a text. */
  readonly endTokens: readonly number[];
  /** How conversations are written, in Jinja. */
  readonly chatTemplate?: string;
}

const action = "Cannot read the tokenizer";

/** Tokenizer of a GGUF file. Throws a RangeError that names the key which is not known, or whose value is not supported. */
export function ggufTokenizer(metadata: GgufMetadata, reading: ReadingOptions = {}): GgufTokenizer {
  const own = Object.entries(metadata).filter(([key]) => key.startsWith("tokenizer.")).map(([key, { value }]) => [key, value]);
  checkFields(Object.fromEntries(own), ggufTokenizerFields, { action, what: "NAME of GGUF", ...reading });
  const table = tokensOf(metadata);
  const isPieces = metadata["tokenizer.ggml.model"]?.value === "llama";
  const begin = addsBegin(metadata) ? beginTokenOf(metadata, table) : undefined;
  const ends = endTokensOf(metadata, table);
  const template = metadata["tokenizer.chat_template"]?.value;
  const addsEnd = metadata["tokenizer.ggml.add_eos_token"]?.value === true;
  const json: TokenizerJson = {
    version: "1.0",
    added_tokens: addedTokens(table),
    ...(isPieces ? likeSentencePiece(metadata, table) : byteLevel(metadata, table)),
    post_processor: surroundings([begin], addsEnd ? ends.slice(0, 1) : [], table),
  };
  return {
    json,
    endTokens: ends,
    ...(begin === undefined ? {} : { beginToken: begin }),
    ...(typeof template === "string" ? { chatTemplate: template } : {}),
  };
}

interface TokenTable {
  readonly texts: readonly string[];
  readonly types: readonly unknown[];
}

function tokensOf(metadata: GgufMetadata): TokenTable {
  const texts = strings(metadata, "tokenizer.ggml.tokens");
  const types = list(metadata, "tokenizer.ggml.token_type") ?? texts.map(() => tokenType.normal);
  const unknown = types.findIndex((type) => !(Object.values(tokenType) as unknown[]).includes(type));
  if (unknown >= 0) throw new RangeError(`${action}: token ${unknown} is of the type ${types[unknown]}, wanted 1 to 6`);
  if (types.length === texts.length) return { texts, types };
  throw new RangeError(
    `${action}: tokenizer.ggml.token_type has ${types.length} items, and tokenizer.ggml.tokens ${texts.length}`,
  );
}

function addedTokens({ texts, types }: TokenTable): TokenizerJson["added_tokens"] {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const isAdded = [tokenType.control, tokenType.userDefined, tokenType.unknown] as readonly unknown[];
  return texts.flatMap((content, id) =>
    isAdded.includes(types[id]) ? [{ id, content, ...flags, special: types[id] !== tokenType.userDefined }] : []
  );
}

/** Ids by spelling, of the tokens of some types. */
function vocabularyOf({ texts, types }: TokenTable, ...wanted: readonly number[]): Record<string, number> {
  const entries = texts.map((text, id) => [text, id] as const).filter(([, id]) => wanted.includes(types[id] as number));
  return Object.fromEntries(entries);
}

function byteLevel(metadata: GgufMetadata, table: TokenTable): TokenizerJson {
  const name = metadata["tokenizer.ggml.pre"]?.value;
  const rule = typeof name === "string" ? ruleNamed(name) : undefined;
  if (!rule) throw new RangeError(`${action}: tokenizer.ggml.pre ${name} is not known, wanted ${readableNames.join(", ")}`);
  const normalizer = metadata[ownKeys.normalizer]?.value;
  return {
    normalizer: typeof normalizer === "string" ? { type: normalizer } : null,
    pre_tokenizer: rule.part,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      vocab: vocabularyOf(table, tokenType.normal),
      merges: strings(metadata, "tokenizer.ggml.merges"),
      ignore_merges: rule.ignoreMerges,
    },
  };
}

function likeSentencePiece(metadata: GgufMetadata, table: TokenTable): TokenizerJson {
  const { texts, types } = table;
  const scores = list(metadata, "tokenizer.ggml.scores");
  if (scores?.length !== texts.length) {
    throw new RangeError(
      `${action}: tokenizer.ggml.scores has ${scores?.length ?? "no"} items, wanted one for each of ${texts.length} tokens`,
    );
  }
  const normal = vocabularyOf(table, tokenType.normal);
  const unknown = types.indexOf(tokenType.unknown);
  return piecesJson({
    addsSpace: metadata["tokenizer.ggml.add_space_prefix"]?.value !== false,
    model: {
      type: "BPE",
      unk_token: unknown < 0 ? null : texts[unknown],
      vocab: vocabularyOf(table, tokenType.normal, tokenType.byte, tokenType.unknown),
      merges: mergesOfScores(new Map(Object.entries(normal)), (token) => scores[normal[token]] as number),
    },
  });
}

/** Whether a text begins with the begin token; llama.cpp has a default for each kind. */
function addsBegin(metadata: GgufMetadata): boolean {
  const said = metadata["tokenizer.ggml.add_bos_token"]?.value;
  if (typeof said === "boolean") return said;
  return metadata["tokenizer.ggml.model"]?.value === "llama" ||
    ruleNamed(String(metadata["tokenizer.ggml.pre"]?.value))?.ignoreMerges === true;
}

function beginTokenOf(metadata: GgufMetadata, table: TokenTable): number {
  const id = roleOf(metadata, "tokenizer.ggml.bos_token_id", table);
  if (id !== undefined) return id;
  throw new RangeError(`${action}: texts begin with a token (add_bos_token), and tokenizer.ggml.bos_token_id does not say which`);
}

/** The token of a role. */
function roleOf(metadata: GgufMetadata, key: string, { texts }: TokenTable): number | undefined {
  const id = metadata[key]?.value;
  if (id === undefined || typeof id === "number" && id >= 0 && id < texts.length) return id;
  throw new RangeError(`${action}: ${key} is ${id}, and there are ${texts.length} tokens`);
}

/** Our own list of end tokens and those that have keys, or those that llama.cpp would find: by their keys, and by how they are spelt. */
function endTokensOf(metadata: GgufMetadata, table: TokenTable): number[] {
  const listed = list(metadata, ownKeys.endTokens);
  const foreign = listed?.find((id) => !(Number(id) < table.texts.length));
  if (foreign !== undefined) {
    throw new RangeError(`${action}: ${ownKeys.endTokens} has ${foreign}, and there are ${table.texts.length} tokens`);
  }
  const keys = listed?.length === 0 ? endKeys.slice(1) : endKeys; // where there are none, the first one names what is written least
  const named = keys.map((key) => roleOf(metadata, key, table)).filter((id) => id !== undefined);
  if (listed) return [...new Set([...listed.map(Number), ...named])];
  const spelled = table.texts.flatMap((text, id) =>
    table.types[id] === tokenType.control && knownEnds.includes(text) ? [id] : []
  );
  return [...new Set([...named, ...spelled])];
}

function surroundings(before: readonly (number | undefined)[], behind: readonly number[], { texts }: TokenTable): unknown {
  const first = before.filter((id) => id !== undefined);
  if (first.length + behind.length === 0) return null;
  const special = (id: number) => ({ SpecialToken: { id: texts[id], type_id: 0 } });
  const tokens = [...first, ...behind].map((id) => [texts[id], { id: texts[id], ids: [id], tokens: [texts[id]] }]);
  const single = [...first.map(special), { Sequence: { id: "A", type_id: 0 } }, ...behind.map(special)];
  return { type: "TemplateProcessing", single, pair: [], special_tokens: Object.fromEntries(tokens) };
}

function list(metadata: GgufMetadata, key: string): GgufArray["value"] | undefined {
  const entry = metadata[key];
  return entry?.type === "array" ? entry.value : undefined;
}

function strings(metadata: GgufMetadata, key: string): string[] {
  const items = list(metadata, key);
  if (items?.every((item) => typeof item === "string")) return [...items] as string[];
  throw new RangeError(`${action}: ${key} is no list of strings`);
}
