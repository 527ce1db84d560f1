/**
 * Folders in the layout that Hugging Face's transformers has for BitNet: two bits a weight, and one scale a tensor.
 *
 * @module
 */

import { type FileContent, writeFileAtomic } from "../io/atomic.ts";
import { checkFields, type FieldTable, type ReadingOptions } from "../io/fields.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import { makeFolder, readJsonFile } from "../io/files.ts";
import { safetensorsStream } from "../io/safetensors.ts";
import { type Checkpoint, withCheckpoint } from "../io/safetensors_file.ts";
import { companionsOf, readCompanions } from "../llama/companions.ts";
import { type LanguageModel, modelSettings, type Quantization } from "../llama/checkpoint.ts";
import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import { isOnlineBitnet } from "../llama/foreign_quantization.ts";
import { parameterShapes } from "../llama/parameters.ts";
import { bitnet } from "../pack/bitnet.ts";
import {
  type Apart,
  checkpointSizes,
  packedConfigJson,
  packedEntries,
  storedParameter,
  trainedWith,
  unpackedCheckpoint,
  type UnpackedView,
} from "./pack_safetensors.ts";
import type { PackedMatmulOptions } from "../pack/packed_weight.ts";
import type { PackedModel } from "./open_packed.ts";
import { packedMaps } from "./packed_maps.ts";

/** How a weight lies in such a checkpoint. */
const bitnetApart: Apart = { format: bitnet, scaleDtype: "F32", codeShape: ({ rows, columns }) => [rows / 4, columns] };

/**
 * transformers has two layers that read this layout. "bitlinear", its default, divides by `weight_scale`; "autobitlinear" multiplies, which
 * is what our scales want.
 */
const multiplying = "autobitlinear";

/** How `packBitnet` packs. */
export interface BitnetOptions {
  /** How weights are rounded, for a model that does not say; it is then rounded without training. */
  readonly quantization?: Quantization;
  /** Merge the scales of a tensor's groups into one, instead of refusing; false by default. */
  readonly allowLoss?: boolean;
  /** Told of every tensor that is packed: weights so far, and in all. */
  readonly onProgress?: (weights: number, of: number) => void;
}

/**
 * Writes a model in the layout of Hugging Face's `bitnet` checkpoints, which transformers loads: `config.json` with a `quantization_config`,
 * `model.safetensors`, `tokenizer.json`. It holds one scale a tensor: group size 0. The folder is made where it is missing.
 *
 * @throws RangeError where the model's groups are finer and `allowLoss` is absent; Error that names a file which cannot be written
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, openBitnet, packBitnet } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const folder = await Deno.makeTempDir();
 * await packBitnet(folder, { ...model, tokenizer: byteTokenizer }, { quantization: { quantizer: "ternary", groupSize: 0 } });
 * console.log((await openBitnet(folder)).config.hiddenSize); // 16
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function packBitnet(folder: string, model: LanguageModel, options: BitnetOptions = {}): Promise<void> {
  const entries = await packedEntries(model, { ...options, apart: bitnetApart });
  const config = {
    ...packedConfigJson(model, options),
    quantization_config: { quant_method: "bitnet", linear_class: multiplying, quantization_mode: "offline" },
  };
  const files: Record<string, FileContent> = {
    ...companionsOf(model),
    "model.safetensors": safetensorsStream(entries, { format: "pt" }),
    "config.json": JSON.stringify(config, null, 2) + "\n",
  };
  await makeFolder(folder);
  for (const [name, content] of Object.entries(files)) await writeFileAtomic(`${folder}/${name}`, content);
}

/** Whether a folder's `config.json` says that its weights lie in the layout of {@linkcode packBitnet}. */
export function isBitnet({ quantization_config: quantization }: JsonObject): boolean {
  return isJsonObject(quantization) && quantization.quant_method === "bitnet" && !isOnlineBitnet(quantization);
}

/** The fields of a `quantization_config` that are known. */
export const bitnetFields: FieldTable = {
  quant_method: { means: "layout of the weights", wanted: '"bitnet"', accepts: (value) => value === "bitnet" },
  linear_class: {
    means: 'layer that reads them: "bitlinear" (also where absent) divides by the scales, "autobitlinear" multiplies',
    wanted: `"bitlinear" or "${multiplying}"`,
    accepts: (value) => value === "bitlinear" || value === multiplying,
  },
  quantization_mode: {
    means: "whether scales are stored, or made while it runs",
    wanted: '"offline"',
    accepts: (value) => value === "offline",
  },
  modules_to_not_convert: { means: "layers that are not packed", ignored: "the tensors say it" },
  use_rms_norm: {
    means: "whether layers normalise their input once more",
    wanted: "false",
    accepts: (value) => value === false,
  },
  rms_norm_eps: { means: "of these norms", ignored: "there are none" },
};

/** What `config.json` says apart from how the weights are packed. */
function withoutPacking({ quantization_config: _, ...config }: JsonObject): JsonObject {
  return config;
}

/**
 * How the weights of a folder become floats, by its `config.json`. Throws a `RangeError` where its scales are made while it runs, or where
 * it has more layers than there are tensors.
 */
export function bitnetView(
  config: JsonObject,
  { source, checkpoint: { tensors }, allowUnknown }: {
    readonly source: string;
    readonly checkpoint: Checkpoint;
    readonly allowUnknown?: boolean;
  },
): UnpackedView {
  const packing = config.quantization_config as JsonObject;
  const action = `Cannot open ${source}`;
  const reading = { action, allowUnknown, onWarning: () => {} }; // whoever reads the tensors warns
  checkFields(packing, bitnetFields, { ...reading, what: "NAME in quantization_config of config.json" });
  const model = llamaConfig(withoutPacking(config) as unknown as HuggingFaceConfig, reading);
  if (model.layers > tensors.size) {
    throw new RangeError(`${action}: ${model.layers} layers, but only ${tensors.size} tensors`);
  }
  return { apart: bitnetApart, shapes: parameterShapes(model), divides: packing.linear_class !== multiplying };
}

/**
 * Opens a folder in the layout of Hugging Face's `bitnet` checkpoints, ours or another's with a Llama in it. Weights stay packed on the
 * device.
 *
 * @throws Error that names the file, field or tensor, what it is, and what was wanted
 */
export async function openBitnet(
  folder: string,
  { allowUnknown, onWarning, ...options }: PackedMatmulOptions & ReadingOptions = {},
): Promise<PackedModel> {
  const reading: ReadingOptions = { allowUnknown, onWarning };
  const source = `"${folder}"`;
  const config = await readJsonFile(`${folder}/config.json`);
  if (!isBitnet(config)) throw new RangeError(`Cannot open ${source}: its quantization_config is not that of bitnet`);
  const tokenizer = await readJsonFile(`${folder}/tokenizer.json`);
  const files = await readCompanions(folder);
  return await withCheckpoint(folder, async (checkpoint) => {
    const view = bitnetView(config, { source, checkpoint, allowUnknown });
    const unpacked = unpackedCheckpoint(checkpoint, view);
    const settings = await modelSettings({ config: withoutPacking(config), tokenizer, files, checkpoint: unpacked }, {
      source,
      ...reading,
    });
    const packed = await packedMaps(settings.config, (name) => storedParameter(checkpoint, name, view), options);
    return { ...settings, ...packed, ...trainedWith(config), sizes: checkpointSizes(checkpoint.tensors, settings) };
  });
}
