/**
 * What lies beside the weights of a model in Hugging Face's layout: files that go out as they came in, and what they say about text.
 *
 * @module
 */

import type { Bytes } from "../io/bytes.ts";
import { checkFields, type FieldTable, type ReadingOptions, refuseUnknown, short } from "../io/fields.ts";
import { decodeUtf8 } from "../io/encoding.ts";
import { readFileIfThere } from "../io/files.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../io/json.ts";
import { stepsOf } from "../tokenizer/fields.ts";
import { surroundingsOf } from "../tokenizer/post_process.ts";
import type { TokenizerJson } from "../tokenizer/tokenizer.ts";
import type { TextSettings } from "./checkpoint.ts";
import { generationFields, tokenFields } from "./config_fields.ts";

/** Files that are kept as they came. */
export const companionFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "generation_config.json",
] as const;

/** Content of files by name. */
export type Companions = Readonly<Record<string, Bytes>>;

/** The fields of `generation_config.json` that are known. */
export const generationConfigFields: FieldTable = {
  ...tokenFields,
  ...generationFields,
  transformers_version: { means: "version that wrote the file", ignored: "it does not change what the model computes" },
  _from_model_config: { means: "whether it was made from config.json", ignored: "it does not change what the model computes" },
  _commit_hash: { means: "where the model came from", ignored: "it does not change what the model computes" },
  trust_remote_code: { means: "whether generation runs code that comes with the model", ignored: "no such code is run" },
};

/** Reads the files that lie in a folder. */
export async function readCompanions(folder: string): Promise<Companions> {
  const files: Record<string, Bytes> = {};
  for (const name of companionFiles) {
    const bytes = await readFileIfThere(`${folder}/${name}`);
    if (bytes) files[name] = bytes;
  }
  return files;
}

/** A companion as the JSON object that it holds; undefined where there is none. Throws a SyntaxError that names the file. */
export function companionJson(files: Companions, name: string, source: string): JsonObject | undefined {
  const bytes = files[name];
  return bytes && parseJsonObject(decodeUtf8(bytes, { source: `${name} of ${source}` }), `Cannot read ${name} of ${source}`);
}

/**
 * What `config.json` and the companions say about text, and in which order: what generation is told counts besides the model's config.
 * `tokenizer` is what the tokenizer gives for its `tokenizer.json`.
 *
 * @throws RangeError for a field that is not known, and for a token that no row of the embedding stands for
 */
export function textSettingsOf(
  config: JsonObject,
  { files, tokenizer }: { readonly files: Companions; readonly tokenizer: TokenizerJson },
  { source, ...reading }: ReadingOptions & { readonly source: string },
): Pick<TextSettings, "beginToken" | "endTokens" | "chatTemplate"> {
  const generation = companionJson(files, "generation_config.json", source) ?? {};
  checkFields(generation, generationConfigFields, {
    action: `Cannot load ${source}`,
    what: "NAME in generation_config.json",
    ...reading,
  });
  const tokenizerConfig = companionJson(files, "tokenizer_config.json", source);
  const begin = beginToken(config.bos_token_id ?? generation.bos_token_id, { source, tokenizer, tokenizerConfig });
  const ends = [...new Set([config.eos_token_id, generation.eos_token_id].flat().filter(isId))];
  const isForeign = (id: number | undefined) => id !== undefined && id >= Number(config.vocab_size);
  for (const id of [begin, ...ends].filter(isForeign)) {
    refuseUnknown(`Cannot load ${source}: no row of the embedding stands for its begin or end token ${id}`, reading);
  }
  const template = chatTemplate(files, tokenizerConfig);
  return {
    ...(begin === undefined || isForeign(begin) ? {} : { beginToken: begin }),
    endTokens: ends.filter((id) => !isForeign(id)),
    ...(template === undefined ? {} : { chatTemplate: template }),
  };
}

const isId = (id: unknown): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0;

/**
 * The token that begins every text: the one that the tokenizer's post-processor puts there, where it has one that puts anything around
 * texts; that of `config.json` where nothing is said of it.
 */
function beginToken(
  named: unknown,
  { source, tokenizer, tokenizerConfig }: {
    readonly source: string;
    readonly tokenizer: TokenizerJson;
    readonly tokenizerConfig: JsonObject | undefined;
  },
): number | undefined {
  const steps = stepsOf(tokenizer.post_processor).filter(({ type }) => type !== "ByteLevel");
  if (steps.length > 0) {
    const { before } = surroundingsOf(tokenizer.post_processor);
    if (before.length < 2) return before[0];
    throw new RangeError(`Cannot load ${source}: its tokenizer puts the tokens ${before} before a text, wanted one at most`);
  }
  return tokenizerConfig === undefined && isId(named) ? named : undefined;
}

/** The template of a file of its own, or of `tokenizer_config.json`: the only one, or the one named "default". */
function chatTemplate(files: Companions, tokenizerConfig: JsonObject | undefined): string | undefined {
  const own = files["chat_template.jinja"];
  if (own) return new TextDecoder().decode(own);
  const template = tokenizerConfig?.chat_template;
  if (typeof template === "string") return template;
  const found = [template].flat().filter(isJsonObject).find(({ name }) => name === "default")?.template;
  return typeof found === "string" ? found : undefined;
}

/** What a model's origin said about text; undefined for a model that was made here. */
export function cameWith({ origin }: Pick<TextSettings, "origin">): ReturnType<typeof textSettingsOf> | undefined {
  if (!origin) return undefined;
  const { config, files, tokenizer } = origin;
  return textSettingsOf(config, { files, tokenizer: tokenizer.toJSON() }, {
    source: "the model",
    allowUnknown: true,
    onWarning: () => {},
  });
}

/** The files to write beside a model: those that came with it, with what differs now. */
export function companionsOf(settings: TextSettings): Record<string, Bytes> {
  const { tokenizer, endTokens = [], beginToken, chatTemplate, origin } = settings;
  const came = cameWith(settings);
  const text = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
  const kept = origin?.tokenizer === tokenizer ? { ...origin.files } : {};
  const files: Record<string, Bytes> = { "tokenizer.json": text(tokenizer.toJSON()), ...kept };
  const edit = (name: string, change: JsonObject) => {
    if (files[name]) files[name] = text({ ...companionJson(files, name, "the model"), ...change });
  };
  if (chatTemplate !== undefined && chatTemplate !== came?.chatTemplate) files["chat_template.jinja"] = text(chatTemplate);
  if (short(endTokens) !== short(came?.endTokens)) edit("generation_config.json", { eos_token_id: endTokens });
  if (beginToken !== came?.beginToken) edit("tokenizer_config.json", { add_bos_token: beginToken !== undefined });
  return files;
}
