/**
 * What `tokenizer_config.json` changes of a `tokenizer.json`, as transformers does it.
 *
 * @module
 */

import { checkFields, type ReadingOptions } from "../io/fields.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import { stepsOf, tokenizerConfigFields } from "./fields.ts";
import type { TokenizerJson } from "./tokenizer.ts";

/** A `tokenizer.json` that says what both files say. Throws a `RangeError` that names what is not known, or what they disagree in. */
export function configured(json: TokenizerJson, config: JsonObject, reading: ReadingOptions): TokenizerJson {
  checkFields(config, tokenizerConfigFields, {
    action: "Cannot load a tokenizer",
    what: "NAME of tokenizer_config.json",
    ...reading,
  });
  return withSurroundings(withPrefix(withAddedTokens(json, config), config), config);
}

/** Tokens that only the configuration lists are added. */
function withAddedTokens(json: TokenizerJson, { added_tokens_decoder: decoder }: JsonObject): TokenizerJson {
  if (!isJsonObject(decoder)) return json;
  const { added_tokens: known = [] } = json;
  const ids = new Set(known.map((token) => isJsonObject(token) ? token.id : undefined));
  const more = Object.entries(decoder)
    .filter(([id, token]) => isJsonObject(token) && !ids.has(Number(id)))
    .map(([id, token]) => ({ ...token as JsonObject, id: Number(id) }));
  return more.length === 0 ? json : { ...json, added_tokens: [...known, ...more] };
}

/** A pre-tokenizer that is nothing but byte-level takes its prefix space from the configuration. */
function withPrefix(json: TokenizerJson, { add_prefix_space: prefixed }: JsonObject): TokenizerJson {
  const { pre_tokenizer: part } = json;
  if (typeof prefixed !== "boolean" || !isJsonObject(part) || part.type !== "ByteLevel") return json;
  return { ...json, pre_tokenizer: { ...part, add_prefix_space: prefixed } };
}

/** Begin and end token, where the configuration has a word on them. */
function withSurroundings(json: TokenizerJson, config: JsonObject): TokenizerJson {
  const { add_bos_token: begins, add_eos_token: ends = false, tokenizer_class: name } = config;
  if (typeof begins !== "boolean") return json;
  const templates = stepsOf(json.post_processor).filter(({ type }) => type !== "ByteLevel");
  if (!/^(Code)?LlamaTokenizer(Fast)?$/.test(String(name)) && begins === templates.length > 0) return json;
  const roles = [...begins ? ["bos_token"] : [], "", ...ends ? ["eos_token"] : []];
  const added = roles.filter((role) => role !== "").map((role) => ({ role, ...tokenOf(json, config, role) }));
  const single = roles.map((role) => {
    const token = added.find((each) => each.role === role);
    return token ? { SpecialToken: { id: token.text, type_id: 0 } } : { Sequence: { id: "A", type_id: 0 } };
  });
  const tokens = Object.fromEntries(added.map(({ text, id }) => [text, { id: text, ids: [id], tokens: [text] }]));
  const template = { type: "TemplateProcessing", single, pair: [], special_tokens: tokens };
  return { ...json, post_processor: added.length > 0 ? template : null };
}

function tokenOf(json: TokenizerJson, config: JsonObject, role: string): { readonly text: string; readonly id: number } {
  const named = config[role];
  const text = isJsonObject(named) ? named.content : named;
  const added = (json.added_tokens ?? []).filter(isJsonObject).find(({ content }) => content === text)?.id;
  const id = added ?? json.model?.vocab?.[String(text)];
  if (typeof text === "string" && typeof id === "number") return { text, id };
  throw new RangeError(`tokenizer_config.json adds ${role}, which is ${JSON.stringify(named)}, no token`);
}
