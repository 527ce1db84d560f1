/**
 * Our own packed file: one safetensors file with five trits a byte, and `config.json` and `tokenizer.json` in its header. So a browser
 * fetches a model as one file, and any safetensors library reads the parts.
 *
 * @module
 */

import type { ReadingOptions } from "../io/fields.ts";
import { decodeUtf8 } from "../io/encoding.ts";
import { present } from "../io/gguf.ts";
import { type JsonObject, parseJsonObject } from "../io/json.ts";
import { parseSafetensors, safetensorsStream } from "../io/safetensors.ts";
import type { Checkpoint } from "../io/safetensors_file.ts";
import { type companionFiles, type Companions, companionsOf } from "../llama/companions.ts";
import { type LanguageModel, modelSettings } from "../llama/checkpoint.ts";
import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import { parameterShapes } from "../llama/parameters.ts";
import { dense, denseRowBytes } from "../pack/dense.ts";
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
import type { Fitting } from "./packed_weights.ts";

/** How a weight lies in such a checkpoint. */
const denseApart: Apart = {
  format: dense,
  scaleDtype: "F16",
  codeShape: ({ rows, columns }) => [rows, denseRowBytes(columns)],
};

/** Keys of the file's `__metadata__`. */
const keys = { format: "hestia.format", config: "config.json" } as const;

/** Files beside a model that such a file has among its metadata; what they say of the tokenizer, `tokenizer.json` says too. */
const companions = [
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
  "generation_config.json",
] as const satisfies readonly (typeof companionFiles[number])[];

/** A dense file, a tensor at a time: see `pack`. */
export async function denseChunks(model: LanguageModel, fitting: Omit<Fitting, "format">): Promise<AsyncIterable<Uint8Array>> {
  const entries = await packedEntries(model, { ...fitting, apart: denseApart });
  return safetensorsStream(entries, {
    [keys.format]: dense.name,
    [keys.config]: JSON.stringify(packedConfigJson(model, fitting)),
    ...companionTexts(model),
  });
}

function companionTexts(model: LanguageModel): Record<string, string> {
  const files = companionsOf(model);
  const kept = companions.filter((name) => files[name]);
  return Object.fromEntries(kept.map((name) => [name, decodeUtf8(files[name], { source: name })]));
}

/** Whether bytes begin as a dense file does: as a safetensors file. */
export function looksDense(bytes: Uint8Array): boolean {
  return bytes[8] === "{".charCodeAt(0);
}

/** A dense file, parsed. */
export interface DenseFile {
  /** The tensors as stored. */
  readonly checkpoint: Checkpoint;
  /** Content of its `config.json`. */
  readonly config: JsonObject;
  /** Content of its `tokenizer.json`. */
  readonly tokenizer: JsonObject;
  /** Files that lay beside the model. */
  readonly files: Companions;
  /** How its weights become floats. */
  readonly view: UnpackedView;
}

/** Parses a dense file. Throws a `RangeError` or `SyntaxError` that names `source` where it is none. */
export function parseDense(bytes: Uint8Array, options: DenseOptions): DenseFile {
  const { source } = options;
  const { metadata, tensors } = parseSafetensors(bytes, { source });
  const read: Checkpoint["read"] = (name) => Promise.resolve(present(tensors.get(name), name));
  const readBytes: Checkpoint["readBytes"] = async (name, start, length) =>
    (await read(name)).bytes.subarray(start, start + length);
  return denseFile({ metadata, tensors, read, readBytes, close() {}, [Symbol.dispose]() {} }, options);
}

/** How a dense file is read. */
interface DenseOptions {
  /** What errors call it. */
  readonly source: string;
  readonly allowUnknown?: boolean;
}

/** Whether a safetensors file is a dense one, by its metadata. */
export const isDense = ({ metadata }: Pick<Checkpoint, "metadata">): boolean => metadata[keys.format] !== undefined;

/** A dense file that is open. Throws a `RangeError` or `SyntaxError` that names `source` where it is none. */
export function denseFile(checkpoint: Checkpoint, { source, allowUnknown }: DenseOptions): DenseFile {
  const { metadata, tensors } = checkpoint;
  if (metadata[keys.format] !== dense.name) {
    throw new RangeError(`Cannot open ${source}: its metadata has ${keys.format} ${metadata[keys.format]}, wanted ${dense.name}`);
  }
  const part = (key: string) => parseJsonObject(metadata[key] ?? "", `Cannot read the ${key} of ${source}`);
  const json = part(keys.config);
  const action = `Cannot read the config of ${source}`;
  const config = llamaConfig(json as unknown as HuggingFaceConfig, { action, allowUnknown, onWarning: () => {} }); // its opener warns
  if (config.layers > tensors.size) {
    throw new RangeError(`Cannot open ${source}: ${config.layers} layers, but only ${tensors.size} tensors`);
  }
  return {
    checkpoint,
    config: json,
    tokenizer: part("tokenizer.json"),
    files: Object.fromEntries(
      companions.filter((name) => Object.hasOwn(metadata, name)).map((name) => [name, new TextEncoder().encode(metadata[name])]),
    ),
    view: { apart: denseApart, shapes: parameterShapes(config) },
  };
}

/** Opens a dense file, compressed or not: see `openPacked`. Its weights stay five to a byte, but for whole activations. */
export async function openDense(
  bytes: Uint8Array,
  { source, allowUnknown, onWarning, ...options }: PackedMatmulOptions & ReadingOptions & { readonly source: string },
): Promise<PackedModel> {
  const { checkpoint, view, ...parts } = parseDense(bytes, { source, allowUnknown });
  const settings = await modelSettings({ ...parts, checkpoint: unpackedCheckpoint(checkpoint, view) }, {
    source,
    allowUnknown,
    onWarning,
  });
  const packed = await packedMaps(settings.config, (name) => storedParameter(checkpoint, name, view), {
    ...options,
    dense: options.activations !== "int8",
  });
  return { ...settings, ...packed, ...trainedWith(parts.config), sizes: checkpointSizes(checkpoint.tensors, settings) };
}
