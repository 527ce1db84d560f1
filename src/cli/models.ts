/**
 * Opening the model that a command names: a folder in Hugging Face's layout, the folder of a run, or a GGUF file.
 *
 * @module
 */

import { readJsonFile } from "../io/files.ts";
import { type HuggingFaceConfig, type LlamaConfig, llamaConfig } from "../llama/config.ts";
import type { LanguageModel } from "../llama/checkpoint.ts";
import { loadCheckpoint } from "../llama/checkpoint.ts";
import type { ReadingOptions } from "../io/fields.ts";
import { openGgufFile } from "../io/gguf_file.ts";
import type { PackedMatmulOptions } from "../pack/packed_weight.ts";
import { ternaryGroupSize } from "../pipeline/already_ternary.ts";
import { architecture, openPacked, type PackedModel } from "../pipeline/open_packed.ts";
import { hestiaKeys } from "../llama/gguf_fields.ts";
import { loadModel } from "../pipeline/load_model.ts";
import { isBitnet, openBitnet } from "../pipeline/pack_bitnet.ts";
import { roundedModel } from "../pipeline/rounded.ts";
import type { Option } from "./args.ts";
import { UsageError } from "./errors.ts";
import { localModel } from "./hub.ts";
import { manifestName } from "./run_folder.ts";

/** The option that names a model. */
export const modelOption = {
  type: "string",
  value: "PATH",
  description:
    "Folder of a run or of a model (config.json, model.safetensors, tokenizer.json), a packed file, or a name on the Hub",
} as const satisfies Option;

/** The option that lets a model be read which says more than is understood. */
export const allowUnknownOption = {
  type: "boolean",
  description: "Go on, with a warning each, where the model's files hold fields or tensors that are not known",
} as const satisfies Option;

/** How a model's files are read: `--allow-unknown` as typed. */
function readingOf({ allowUnknown = false }: ReadingOptions): ReadingOptions {
  return { allowUnknown, onWarning: (message) => console.error(`warning: ${message}`) };
}

/** A model as a command uses it. */
export interface OpenedModel {
  /** With the weights that it computes with: rounded where the checkpoint holds latent ones. */
  readonly model: LanguageModel;
  /** Of the tensors in the files. */
  readonly bytes: number;
  /** Storage per weight of the layers' linear maps. */
  readonly bitsPerWeight: number;
  /** What the model is, in a few words: "packed", "hestia, groups of 128", "full precision". */
  readonly description: string;
}

/** Value of an option that must be typed. Throws a UsageError where it was not. */
export function required(value: string | undefined, flag: string, command: string): string {
  if (value !== undefined) return value;
  throw new UsageError(`${flag} is missing; see deno task ${command} --help`);
}

/** The result of `work`. What a library function says about its input ("Cannot …") becomes a UsageError. */
export async function refusing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { message } = error as Error;
    if (!message?.startsWith("Cannot ") || message.startsWith("Cannot read properties")) throw error;
    throw new UsageError(message.charAt(0).toLowerCase() + message.slice(1).replace(/\s+/g, " "));
  }
}

/**
 * Loads the model of a folder, with its weights as stored.
 *
 * @throws {UsageError} Where there is none, or it cannot be used.
 */
export async function loadModelFolder(path: string, reading: ReadingOptions = {}): Promise<LanguageModel> {
  if (!(await statOf(path)).isDirectory) {
    throw new UsageError(`cannot open the model ${path}: wanted a folder, it is a file; deno task unpack makes a folder of it`);
  }
  const folder = await checkpointFolder(path);
  if (await holdsBitnet(folder)) {
    throw new UsageError(`cannot open the model ${path}: it is packed; deno task unpack makes a checkpoint of it`);
  }
  return await refusing(() => loadCheckpoint(folder, readingOf(reading)));
}

/**
 * Architecture of the model at a path, whose weights are not read yet.
 *
 * @throws {UsageError} Where there is none, or it cannot be used.
 */
export async function modelConfig(path: string): Promise<LlamaConfig> {
  const { isDirectory } = await statOf(path);
  return await refusing(async () => {
    if (isDirectory) {
      const file = `${await checkpointFolder(path)}/config.json`;
      return llamaConfig(await readJsonFile(file) as unknown as HuggingFaceConfig, { action: `Cannot use "${file}"` });
    }
    if (!await isGguf(path)) throw new UsageError(`cannot train the model ${path}: wanted a folder, or a GGUF file`);
    using file = await openGgufFile(path);
    return await architecture(file);
  });
}

/**
 * Loads the model that a run starts from.
 *
 * @throws {UsageError} Where there is none, or it is not in full precision.
 */
export async function startModel(path: string): Promise<LanguageModel> {
  const refuse = (what: string) => new UsageError(`cannot train the model ${path}: ${what}; wanted one in full precision`);
  if ((await statOf(path)).isDirectory) {
    const model = await loadModelFolder(path);
    if (model.quantization) throw refuse(`it was trained with ${model.quantization.quantizer}`);
    return model;
  }
  return await refusing(async () => {
    using file = await openGgufFile(path);
    const quantizer = file.metadata[hestiaKeys.quantizer];
    if (quantizer) throw refuse(`it is packed, and was trained with ${quantizer.value}`);
    return await loadModel(path);
  });
}

/**
 * Opens the model at a path.
 *
 * @throws {UsageError} Where there is none, or it cannot be used.
 */
export async function openModel(path: string, options: PackedMatmulOptions & ReadingOptions = {}): Promise<OpenedModel> {
  const packed = await openPackedModel(path, options);
  if (packed) {
    const { sizes: { bytes, bitsPerWeight }, ...model } = packed;
    return { model, bytes, bitsPerWeight, description: "packed" };
  }
  const latent = await withoutSecondRounding(await loadModelFolder(path, options), path);
  const { quantization } = latent;
  const bytes = await checkpointBytes(await modelFolder(path));
  const weights = Object.values(latent.parameters).reduce((sum, { size }) => sum + size, 0);
  const description = quantization ? `${quantization.quantizer}, group size ${quantization.groupSize}` : "full precision";
  return { model: await refusing(() => roundedModel(latent)), bytes, bitsPerWeight: 8 * bytes / weights, description };
}

/** A model whose weights are ternary already is used as it is, though it says that they are latent: rounding would shrink its scales. */
async function withoutSecondRounding(model: LanguageModel, path: string): Promise<LanguageModel> {
  const { quantization, ...floats } = model;
  if (!quantization || await ternaryGroupSize(model) === undefined) return model;
  console.error(`${path}: its weights are ternary already, and are taken as they are`);
  return floats;
}

/**
 * Opens the packed model at a path; undefined for a folder that holds no packed one.
 *
 * @throws {UsageError} Where it cannot be used, or is a file and no packed model.
 */
export async function openPackedModel(
  path: string,
  { allowUnknown, ...kernels }: PackedMatmulOptions & ReadingOptions = {},
): Promise<PackedModel | undefined> {
  const options = { ...kernels, ...readingOf({ allowUnknown }) };
  if ((await statOf(path)).isDirectory) {
    const folder = await modelFolder(path);
    return await holdsBitnet(folder) ? await refusing(() => openBitnet(folder, options)) : undefined;
  }
  return await refusing(async () => {
    if (!await isGguf(path)) return await openPacked(await Deno.readFile(path), { ...options, source: `"${path}"` });
    using file = await openGgufFile(path);
    return await openPacked(file, options);
  });
}

/** Whether a file begins as GGUF does, so that it can be read tensor by tensor. */
export async function isGguf(path: string): Promise<boolean> {
  using file = await Deno.open(path);
  const magic = new Uint8Array(4);
  await file.read(magic);
  return new TextDecoder().decode(magic) === "GGUF";
}

/** The folder with the files of the model that a path names. */
export async function modelFolder(path: string): Promise<string> {
  const local = await refusing(() => localModel(path));
  if (await isFile(`${local}/model/config.json`)) return `${local}/model`;
  if (await isFile(`${local}/${manifestName}`)) {
    throw new UsageError(`cannot open the model ${path}: the run has not come to it yet; its command, given again, goes on`);
  }
  return local;
}

/** The same, of a folder that must hold a checkpoint. */
async function checkpointFolder(path: string): Promise<string> {
  const folder = await modelFolder(path);
  if (await isFile(`${folder}/config.json`)) return folder;
  throw new UsageError(
    `cannot open the model ${path}: the folder has no config.json; wanted one in Hugging Face's layout, or that of a run`,
  );
}

/** Whether a folder holds a checkpoint in the layout of transformers' bitnet. */
export async function holdsBitnet(folder: string): Promise<boolean> {
  return await readJsonFile(`${folder}/config.json`).then(isBitnet, () => false); // what is wrong with the file, its reader says
}

/** What is at a path, or was fetched for the name of a model on the Hub.
 *
 * @throws {UsageError} Where there is nothing.
 */
export async function statOf(path: string): Promise<Deno.FileInfo> {
  const local = await refusing(() => localModel(path));
  return await Deno.stat(local).catch((error: Error) => {
    throw new UsageError(`cannot open the model ${path}: ${error.message}`);
  });
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

/** Bytes of a file, or of the safetensors files of a folder. */
export async function bytesOf(path: string): Promise<number> {
  const { isDirectory, size } = await statOf(path);
  return isDirectory ? await checkpointBytes(await modelFolder(path)) : size;
}

/** Bytes of the safetensors files of a folder. */
export async function checkpointBytes(folder: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".safetensors")) continue;
    const { isFile, size } = await Deno.stat(`${folder}/${name}`); // links count as what they lead to
    if (isFile) bytes += size;
  }
  return bytes;
}
