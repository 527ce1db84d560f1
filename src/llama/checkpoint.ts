/**
 * Models on disk, in the layout of Hugging Face: `config.json`, `model.safetensors` (or shards), `tokenizer.json`.
 *
 * @module
 */

import { ownerOf } from "../core/names.ts";
import { sameShape } from "../core/shape.ts";
import { tensor } from "../create.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { makeFolder, readJsonFile } from "../io/files.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import { type SafetensorsEntry, safetensorsStream, tensorValues } from "../io/safetensors.ts";
import { type Checkpoint, withCheckpoint } from "../io/safetensors_file.ts";
import type { Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";
import { type HuggingFaceConfig, huggingFaceConfig, type LlamaConfig, llamaConfig } from "./config.ts";
import type { LlamaModel } from "./model.ts";
import { type Parameters, parameterShapes, quantizedNames } from "./parameters.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";

/** How weights were quantized in training. Checkpoints hold latent weights: the model is what the quantizer makes of them. */
export interface Quantization {
  /** Name of the quantizer, such as "hestia". */
  readonly quantizer: string;
  /** 0: a whole tensor shares a scale; -1: an output channel; n > 0: blocks of n along a row. */
  readonly groupSize: number;
  /** "float16" where scales were rounded in training; float32 if absent. */
  readonly scaleDtype?: "float32" | "float16";
  /** What the quantizer learned besides the weights, under names such as `model.layers.0.mlp.up_proj.weight#step`. */
  readonly parameters?: Parameters;
}

/** What a model needs besides its parameters to read and write text. */
export interface TextSettings {
  /** Text to ids and back. */
  readonly tokenizer: Tokenizer;
  /** Token that begins every text; absent where there is none. */
  readonly beginToken?: number;
  /** Tokens that end a text. */
  readonly endTokens?: readonly number[];
  /** Absent where the parameters are what the model computes with. */
  readonly quantization?: Quantization;
}

/** A model that reads and writes text. */
export interface LanguageModel extends LlamaModel, TextSettings {}

/**
 * Writes a model in Hugging Face's layout: float32, with Hugging Face's tensor names; `config.json` has a field `hestia` where the weights
 * are latent. What a quantizer learned is stored with the weights. Each file is written whole or not at all, `config.json` last. The
 * folder is made where it is missing.
 *
 * @throws Error that names the file which cannot be written
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, saveCheckpoint } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const folder = await Deno.makeTempDir();
 * await saveCheckpoint(folder, model, { tokenizer: byteTokenizer });
 * console.log([...Deno.readDirSync(folder)].map(({ name }) => name)); // config.json, model.safetensors, tokenizer.json
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveCheckpoint(folder: string, { config, parameters }: LlamaModel, settings: TextSettings): Promise<void> {
  const own = Object.keys(parameterShapes(config)).map((name) => [name, parameters[name]] as const);
  const stored = [...own, ...Object.entries(settings.quantization?.parameters ?? {})];
  realize(stored.map(([, value]) => value)); // together; each is read when its turn to be written has come
  const sources = stored.map(([name, value]) => [name, { dtype: "F32", shape: value.shape, read: () => value.data() }] as const);
  await makeFolder(folder);
  await writeFileAtomic(`${folder}/tokenizer.json`, JSON.stringify(settings.tokenizer.toJSON()));
  await writeFileAtomic(`${folder}/model.safetensors`, safetensorsStream(Object.fromEntries(sources), { format: "pt" }));
  await writeFileAtomic(`${folder}/config.json`, JSON.stringify(configJson(config, settings), null, 2) + "\n");
}

/** Content of the `config.json` that {@linkcode saveCheckpoint} writes. */
export function configJson(
  config: LlamaConfig,
  { beginToken, endTokens = [], quantization }: Omit<TextSettings, "tokenizer">,
): JsonObject {
  return {
    ...huggingFaceConfig(config),
    bos_token_id: beginToken ?? null,
    eos_token_id: endTokens.length === 0 ? null : endTokens.length === 1 ? endTokens[0] : endTokens,
    ...(quantization ? { hestia: savedQuantization(quantization) } : {}),
  };
}

/**
 * Reads a model in Hugging Face's layout: one file or shards, float32, float16 or bfloat16, with a tied head or its own. Where
 * `quantization` is present the parameters are latent.
 *
 * @throws Error that names the file, field or tensor, what it is, and what was wanted
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, loadCheckpoint, saveCheckpoint } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const folder = await Deno.makeTempDir();
 * await saveCheckpoint(folder, model, { tokenizer: byteTokenizer });
 * const loaded = await loadCheckpoint(folder);
 * console.log(loaded.config.hiddenSize); // 16
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function loadCheckpoint(folder: string): Promise<LanguageModel> {
  const config = await readJsonFile(`${folder}/config.json`);
  const tokenizer = await readJsonFile(`${folder}/tokenizer.json`);
  return await withCheckpoint(
    folder,
    (checkpoint) => languageModel({ config, tokenizer, checkpoint }, { source: `"${folder}"` }),
  );
}

/** The three parts of a model in Hugging Face's layout. */
export interface ModelParts {
  /** Content of `config.json`. */
  readonly config: JsonObject;
  /** Content of `tokenizer.json`. */
  readonly tokenizer: JsonObject;
  /** The tensors; they are read here, and may be closed afterwards. */
  readonly checkpoint: Checkpoint;
}

/** The model of {@linkcode loadCheckpoint} from its parts. `source` names it in errors. */
export async function languageModel(parts: ModelParts, { source }: { readonly source: string }): Promise<LanguageModel> {
  const { config: json, checkpoint } = parts;
  const settings = await modelSettings(parts, { source });
  const quantization = quantizationOf(json, source);
  const model = { ...settings, parameters: await readTensors(checkpoint, Object.keys(parameterShapes(settings.config))) };
  if (!quantization) return model;
  const learned = learnedNames(checkpoint, settings.config);
  const own = learned.length > 0 ? { parameters: await readTensors(checkpoint, learned) } : {};
  return { ...model, quantization: { ...quantization, ...own } };
}

/** A model but for its tensors, which are checked and not read. `source` names it in errors. */
export async function modelSettings(
  parts: ModelParts,
  { source }: { readonly source: string },
): Promise<Omit<LanguageModel, "parameters" | "quantization">> {
  const { config: json, checkpoint } = parts;
  const config = llamaConfig(json as unknown as HuggingFaceConfig);
  const quantization = quantizationOf(json, source);
  const tokenizer = await loadTokenizer(parts.tokenizer);
  if (tokenizer.vocabularySize > config.vocabularySize) {
    throw new RangeError(
      `Cannot load ${source}: its tokenizer has ${tokenizer.vocabularySize} ids, its config a vocab_size of ${config.vocabularySize}`,
    );
  }
  if (config.layers > checkpoint.tensors.size) {
    throw new RangeError(`Cannot load ${source}: ${config.layers} layers, but only ${checkpoint.tensors.size} tensors`);
  }
  const learned = quantization ? learnedNames(checkpoint, config) : [];
  checkTensors(checkpoint, config, { source, learned });
  return { config, tokenizer, ...specialTokens(json) };
}

function specialTokens({ bos_token_id: begin, eos_token_id: end }: JsonObject): Pick<TextSettings, "beginToken" | "endTokens"> {
  const isId = (id: unknown): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0;
  return { ...(isId(begin) ? { beginToken: begin } : {}), endTokens: [end].flat().filter(isId) };
}

function savedQuantization({ quantizer, groupSize, scaleDtype }: Quantization): JsonObject {
  return { quantizer, groupSize, ...(scaleDtype === "float16" ? { scaleDtype } : {}) };
}

function quantizationOf({ hestia }: JsonObject, source: string): Quantization | undefined {
  if (hestia === undefined) return undefined;
  const { quantizer, groupSize, scaleDtype } = isJsonObject(hestia) ? hestia : {} as JsonObject;
  if (typeof quantizer === "string" && typeof groupSize === "number") {
    return { quantizer, groupSize, ...(scaleDtype === "float16" ? { scaleDtype } : {}) };
  }
  throw new TypeError(
    `Cannot load ${source}: the field hestia of its config.json must be {"quantizer": name, "groupSize": number}, ` +
      `got ${JSON.stringify(hestia)}`,
  );
}

/** Stored tensors that say nothing: constants of older converters, and a tied head that was written nevertheless. */
function isRedundant(name: string, { tieEmbeddings }: LlamaConfig): boolean {
  return name.endsWith("rotary_emb.inv_freq") || tieEmbeddings && name === "lm_head.weight";
}

/** Stored tensors that a quantizer learned. */
function learnedNames({ tensors }: Checkpoint, config: LlamaConfig): string[] {
  const weights = new Set(quantizedNames(config));
  return [...tensors.keys()].filter((name) => weights.has(ownerOf(name) ?? ""));
}

function checkTensors(
  { tensors }: Checkpoint,
  config: LlamaConfig,
  { source, learned }: { readonly source: string; readonly learned: readonly string[] },
): void {
  const wanted = parameterShapes(config);
  for (const [name, shape] of Object.entries(wanted)) {
    const stored = tensors.get(name);
    const fail = (got: string) => new RangeError(`Cannot load ${source}: wanted a float tensor "${name}" of [${shape}], ${got}`);
    if (!stored) throw fail("there is none");
    if (!sameShape(stored.shape, shape)) throw fail(`got [${stored.shape}]`);
    if (!["F64", "F32", "F16", "BF16"].includes(stored.dtype)) throw fail(`got ${stored.dtype}`);
  }
  const known = (name: string) => Object.hasOwn(wanted, name) || learned.includes(name) || isRedundant(name, config);
  const extra = [...tensors.keys()].find((name) => !known(name));
  if (extra !== undefined) {
    const count = Object.keys(wanted).length;
    throw new RangeError(
      `Cannot load ${source}: tensor "${extra}" is not one of the ${count} of a Llama model of ${config.layers} layers`,
    );
  }
}

async function readTensors(checkpoint: Checkpoint, names: readonly string[]): Promise<Parameters> {
  const tensors: Record<string, Tensor> = {};
  for (const name of names) {
    const entry = await checkpoint.read(name);
    tensors[name] = tensor(floats(entry), { shape: entry.shape });
  }
  return tensors;
}

function floats(entry: SafetensorsEntry): Float32Array<ArrayBuffer> {
  const values = tensorValues(entry);
  return values instanceof Float32Array ? values : Float32Array.from(values);
}
