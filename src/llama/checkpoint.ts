/**
 * Models on disk, in the layout of Hugging Face: `config.json`, `model.safetensors` (or shards), `tokenizer.json`.
 *
 * @module
 */

import { decodeUtf8 } from "../io/encoding.ts";
import { makeFolder, readFileIfThere, readJsonFile } from "../io/files.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { type ReadingOptions, short } from "../io/fields.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../io/json.ts";
import type { SafetensorsSource } from "../io/safetensors.ts";
import { type Checkpoint, withCheckpoint } from "../io/safetensors_file.ts";
import { writeCheckpointTensors } from "../io/safetensors_shards.ts";
import { differingRules, recipeNames, type RuleOptions, type WeightRules } from "../recipes.ts";
import { quantizerNameOf, releaseConfig } from "../release.ts";
import { realize } from "../trace.ts";
import type { Tensor } from "../tensor.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkTensors, isSameHead, learnedNames, storedTensor, tiedHead } from "./checkpoint_tensors.ts";
import { cameWith, companionJson, type Companions, companionsOf, readCompanions, textSettingsOf } from "./companions.ts";
import { type HuggingFaceConfig, huggingFaceConfig, type LlamaConfig, llamaConfig } from "./config.ts";
import { clipNames, clipQuantization, isOnlineBitnet, onlineBitnet } from "./foreign_quantization.ts";
import type { LlamaModel } from "./model.ts";
import { type Parameters, parameterShapes } from "./parameters.ts";
import { downloaded, type SavedDType, savedDTypes, uploaded } from "./transfer.ts";

/**
 * How weights were quantized in training. Checkpoints hold latent weights: the model is what the quantizer makes of them, by the rules of the
 * recipe that it was trained by ("hestia-2026" where none is named), and by those that are given beside it.
 */
export interface Quantization extends RuleOptions<WeightRules> {
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
  /** How conversations become text, in Jinja; absent where the model has no template. */
  readonly chatTemplate?: string;
  /** What came with the model and goes out with it as it is; absent for a model that is made here. */
  readonly origin?: ModelOrigin;
}

/** What a model was read from, apart from its weights. */
export interface ModelOrigin {
  /** Content of its `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** dtype of the stored weights: that of the embedding. */
  readonly dtype: SavedDType;
  /** Files beside the weights as they were, such as `tokenizer_config.json`, by name. */
  readonly files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  /** The tokenizer of these files: they are written again where the model still has it. */
  readonly tokenizer: Tokenizer;
}

/** A model that reads and writes text. */
export interface LanguageModel extends LlamaModel, TextSettings {}

/** How {@linkcode saveCheckpoint} writes. */
export interface SaveOptions {
  /** Type of the stored weights; "float32" by default, which loses nothing. `model.origin?.dtype` is what the model came in. */
  readonly dtype?: SavedDType;
  /** Bytes of tensors in a file, above which they are split into shards with an index; 5 · 10⁹ by default, as transformers has it. */
  readonly maxShardBytes?: number;
}

/**
 * Writes a model in Hugging Face's layout, a piece of a tensor at a time: weights with Hugging Face's names, `config.json` (with a field
 * `hestia` where the weights are latent), `tokenizer.json`, and what else came with the model, as it came. What a quantizer learned is stored
 * with the weights, in float32. Each file is written whole or not at all, `config.json` last. The folder is made where it is missing.
 *
 * @throws Error that names the file which cannot be written; RangeError where a weight is too large for float16
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, saveCheckpoint } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const folder = await Deno.makeTempDir();
 * await saveCheckpoint(folder, model, { tokenizer: byteTokenizer }, { dtype: "bfloat16" });
 * console.log([...Deno.readDirSync(folder)].map(({ name }) => name)); // config.json, model.safetensors, tokenizer.json
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveCheckpoint(
  folder: string,
  { config, parameters }: LlamaModel,
  settings: TextSettings,
  { dtype = "float32", maxShardBytes = 5e9 }: SaveOptions = {},
): Promise<void> {
  const json = configJson(config, settings, { dtype }); // refuses before anything is written
  const own = Object.keys(parameterShapes(config)).map((name) => [name, sourceOf(name, parameters[name], dtype)] as const);
  const learned = Object.entries(settings.quantization?.parameters ?? {}).map(([name, value]) =>
    [name, sourceOf(name, value, "float32")] as const
  );
  await makeFolder(folder);
  for (const [name, content] of Object.entries(companionsOf(settings))) {
    await writeFileAtomic(`${folder}/${name}`, content);
  }
  await writeCheckpointTensors(folder, Object.fromEntries([...own, ...learned]), { maxShardBytes });
  await writeFileAtomic(`${folder}/config.json`, JSON.stringify(json, null, 2) + "\n");
}

/** A tensor to be written. What is not computed yet is so when its turn has come. */
function sourceOf(name: string, value: Tensor, dtype: SavedDType): SafetensorsSource {
  const pieces = () => downloaded(realize([value])[0], { dtype, action: `Cannot save "${name}" as ${dtype}` });
  return { dtype: savedDTypes[dtype], shape: value.shape, pieces };
}

const silent: ReadingOptions = { allowUnknown: true, onWarning: () => {} };

/** Content of the `config.json` that {@linkcode saveCheckpoint} writes: as it came, but for what differs now. */
export function configJson(
  config: LlamaConfig,
  settings: Omit<TextSettings, "tokenizer">,
  { dtype = "float32" }: { readonly dtype?: SavedDType } = {},
): JsonObject {
  const { beginToken, endTokens = [], quantization, origin } = settings;
  const { hestia: _, hestia_trained: __, quantization_config: ___, ...base } = baseJson(config, origin);
  const came = cameWith(settings);
  const ends = endTokens.length === 0 ? null : endTokens.length === 1 ? endTokens[0] : endTokens;
  return {
    ...base,
    [base.dtype !== undefined ? "dtype" : "torch_dtype"]: dtype,
    ...(came && came.beginToken === beginToken ? {} : { bos_token_id: beginToken ?? null }),
    ...(came && short(came.endTokens) === short(endTokens) ? {} : { eos_token_id: ends }),
    ...(quantization ? { hestia: savedQuantization(quantization) } : {}),
  };
}

/** The config that the model came with, where it still describes it; otherwise the model's own over it. */
function baseJson(config: LlamaConfig, origin: ModelOrigin | undefined): JsonObject {
  if (!origin) return huggingFaceConfig(config);
  const { quantization_config: _, ...json } = origin.config;
  const described = llamaConfig(json as unknown as HuggingFaceConfig, silent);
  if (Object.keys({ ...described, ...config }).every((key) => same(described, config, key as keyof LlamaConfig))) return json;
  const { rope_parameters: __, rope_scaling: ___, ...rest } = json;
  return { ...rest, ...huggingFaceConfig(config), ...(json.architectures ? { architectures: json.architectures } : {}) };
}

const same = (a: LlamaConfig, b: LlamaConfig, key: keyof LlamaConfig): boolean =>
  JSON.stringify(a[key]) === JSON.stringify(b[key]);

/** How {@linkcode loadCheckpoint} reads. */
export interface LoadOptions extends ReadingOptions {
  /**
   * How matrices are held on the device: "float16" takes half the memory, for a model that is evaluated or writes text and is not trained;
   * "float32" by default.
   */
  readonly parameters?: "float32" | "float16";
}

/**
 * Reads a model in Hugging Face's layout, one file or shards, as transformers 4 or 5 writes it: float32, float16 or bfloat16, with a tied
 * head or its own, of the families Llama, Mistral, Qwen2 and Qwen3. Weights go to the device one after another, as they are stored, and
 * are widened there. Where `quantization` is present the parameters are latent. A field or tensor that is not known is refused by name.
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
export async function loadCheckpoint(folder: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const config = await readJsonFile(`${folder}/config.json`);
  const tokenizer = await readJsonFile(`${folder}/tokenizer.json`);
  const files = await readCompanions(folder);
  const released = await releaseQuantization(folder);
  return await withCheckpoint(
    folder,
    (checkpoint) =>
      languageModel({ config: { ...released ? { hestia: released } : {}, ...config }, tokenizer, files, checkpoint }, {
        source: `"${folder}"`,
        ...options,
      }),
  );
}

/**
 * How the release of 2026 quantized the weights of a folder, as its own file beside them says; undefined where there is none. Throws a
 * `RangeError` for what only the release does.
 */
async function releaseQuantization(folder: string): Promise<JsonObject | undefined> {
  const name = "hestia_config.json";
  const bytes = await readFileIfThere(`${folder}/${name}`);
  if (!bytes) return undefined;
  const source = `${name} of "${folder}"`;
  const config = releaseConfig(parseJsonObject(decodeUtf8(bytes, { source }), `Cannot read ${source}`));
  const skipped = config.skip_modules.filter((entry) => entry !== "lm_head");
  if (skipped.length > 0) {
    throw new RangeError(
      `Cannot load "${folder}": its ${name} skips ${skipped.join(", ")}, wanted all linear maps of the layers quantized`,
    );
  }
  const { codebook, group_size: groupSize, scale_eps: scaleEpsilon } = config;
  const quantizer = config.codebook === "ternary" ? (config.method === "ste" ? "ternary" : "hestia") : quantizerNameOf(config);
  const rules = differingRules("weights", { recipe: "hestia-2026", scaleEpsilon });
  return { quantizer, groupSize: codebook === "fairy2i" ? 0 : groupSize, ...rules };
}

/** The parts of a model in Hugging Face's layout. */
export interface ModelParts {
  /** Content of `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Content of `tokenizer.json`. */
  readonly tokenizer: JsonObject;
  /** Other files beside the weights; none by default. */
  readonly files?: Companions;
  /** The tensors; they are read here, and may be closed afterwards. */
  readonly checkpoint: Checkpoint;
}

/** The model of {@linkcode loadCheckpoint} from its parts. `source` names it in errors. */
async function languageModel(
  parts: ModelParts,
  { source, parameters: keep = "float32", ...reading }: LoadOptions & { readonly source: string },
): Promise<LanguageModel> {
  const { config: json, checkpoint } = parts;
  const settings = await modelSettings(parts, { source, ...reading });
  const quantization = quantizationOf(json, source);
  if (quantization && keep === "float16") {
    throw new RangeError(`Cannot load ${source} in float16: its weights are latent, and rounded from float32`);
  }
  const names = Object.keys(parameterShapes(settings.config));
  const model = { ...settings, parameters: await readTensors(checkpoint, names, keep) };
  const clips = clipNames(checkpoint, settings.config);
  if (clips.length > 0 && !quantization) {
    const values = await readTensors(checkpoint, clips, "float32");
    return {
      ...model,
      quantization: clipQuantization(json, values, { config: settings.config, action: `Cannot load ${source}` }),
    };
  }
  if (!quantization) return model;
  const learned = learnedNames(checkpoint, settings.config);
  const own = learned.length > 0 ? { parameters: await readTensors(checkpoint, learned, "float32") } : {};
  return { ...model, quantization: { ...quantization, ...own } };
}

/** A model but for its tensors, which are checked and not read. `source` names it in errors. */
export async function modelSettings(
  parts: ModelParts,
  { source, ...reading }: ReadingOptions & { readonly source: string },
): Promise<Omit<LanguageModel, "parameters" | "quantization">> {
  const { config: json, checkpoint, files = {} } = parts;
  const action = `Cannot load ${source}`;
  const config = llamaConfig(json as unknown as HuggingFaceConfig, { action, ...reading });
  if (config.layers > checkpoint.tensors.size) {
    throw new RangeError(`${action}: ${config.layers} layers, but only ${checkpoint.tensors.size} tensors`);
  }
  const tokenizerConfig = companionJson(files, "tokenizer_config.json", source);
  const tokenizer = await loadTokenizer(parts.tokenizer, {
    ...(tokenizerConfig ? { config: tokenizerConfig } : {}),
    ...(reading.allowUnknown ? { allowUnknown: true } : {}),
  });
  if (tokenizer.vocabularySize > config.vocabularySize) {
    throw new RangeError(
      `${action}: its tokenizer has ${tokenizer.vocabularySize} ids, its config a vocab_size of ${config.vocabularySize}`,
    );
  }
  const quantization = quantizationOf(json, source);
  checkTensors(checkpoint, config, {
    action,
    learned: quantization ? learnedNames(checkpoint, config) : clipNames(checkpoint, config),
    ...reading,
  });
  if (config.tieEmbeddings && checkpoint.tensors.has(tiedHead) && !await isSameHead(checkpoint)) {
    throw new RangeError(
      `${action}: config.json says that the head is the embedding (tie_word_embeddings), but "${tiedHead}" differs from it; set ` +
        `tie_word_embeddings to false to use that head, or remove the tensor`,
    );
  }
  const dtype = storedDType(checkpoint);
  const text = textSettingsOf(json, { files, tokenizer: tokenizer.toJSON() }, { source, ...reading });
  return { config, tokenizer, ...text, origin: { config: json, dtype, files, tokenizer } };
}

/** dtype of the embedding, for saving it again. */
function storedDType({ tensors }: Checkpoint): SavedDType {
  const stored = tensors.get("model.embed_tokens.weight")?.dtype;
  return stored === "BF16" ? "bfloat16" : stored === "F16" ? "float16" : "float32";
}

/** What `config.json` says of latent weights. The recipe is always named: files without one are older than the release of 2026. */
function savedQuantization({ quantizer, groupSize, scaleDtype, ...rules }: Quantization): JsonObject {
  const rounding = scaleDtype === "float16" ? { scaleDtype } : {};
  return { quantizer, groupSize, ...rounding, ...differingRules("weights", rules) };
}

/** Fields of `hestia` in a `config.json`, and what each may be. */
const quantizationFields: Readonly<Record<Exclude<keyof Quantization, "parameters">, (value: unknown) => boolean>> = {
  quantizer: (value) => typeof value === "string",
  groupSize: (value) => Number.isInteger(value),
  scaleDtype: (value) => value === undefined || value === "float16" || value === "float32",
  recipe: (value) => value === undefined || recipeNames.some((name) => name === value),
  scaleRule: (value) => value === undefined || value === "offset" || value === "clamped",
  scaleEpsilon: (value) => value === undefined || typeof value === "number" && value > 0,
  scaleGradient: (value) => value === undefined || typeof value === "boolean",
  tieRule: (value) => value === undefined || value === "lower" || value === "zero",
  temperatureOffset: (value) => value === undefined || typeof value === "number" && value >= 0,
  baselinePressure: (value) => value === undefined || typeof value === "boolean",
};

function quantizationOf({ hestia, quantization_config: other }: JsonObject, source: string): Quantization | undefined {
  if (hestia === undefined) return isOnlineBitnet(other) ? onlineBitnet : undefined;
  const fail = (wanted: string) =>
    new TypeError(`Cannot load ${source}: the field hestia of its config.json must ${wanted}, got ${JSON.stringify(hestia)}`);
  if (!isJsonObject(hestia)) throw fail('be {"quantizer": name, "groupSize": number}');
  const wrong = Object.entries(quantizationFields).find(([field, fits]) => !fits(hestia[field]));
  if (wrong) throw fail(`have another ${wrong[0]}`);
  const unknown = Object.keys(hestia).find((field) => !Object.hasOwn(quantizationFields, field));
  if (unknown !== undefined) throw fail(`have no ${unknown}; there are ${Object.keys(quantizationFields).join(", ")}`);
  const { scaleDtype, ...fields } = hestia as unknown as Quantization;
  return { recipe: "hestia-2025", ...fields, ...(scaleDtype === "float16" ? { scaleDtype } : {}) };
}

async function readTensors(
  checkpoint: Checkpoint,
  names: readonly string[],
  keep: "float32" | "float16",
): Promise<Parameters> {
  const tensors: Record<string, Tensor> = {};
  for (const name of names) {
    const stored = storedTensor(checkpoint, name);
    tensors[name] = await uploaded(stored, { keep: stored.shape.length === 2 ? keep : "float32", name });
  }
  return tensors;
}
