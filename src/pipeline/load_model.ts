/**
 * Models to train or to evaluate, from any file that holds their weights.
 *
 * @module
 */

import { sizeOf } from "../core/shape.ts";
import { tensor } from "../create.ts";
import { bytesOf } from "../io/bytes.ts";
import { isFolder } from "../io/files.ts";
import { ggmlFloats } from "../io/ggml_floats.ts";
import { ggmlTypes } from "../io/ggml_types.ts";
import { type GgufFile, present } from "../io/gguf.ts";
import { openGgufFile } from "../io/gguf_file.ts";
import { type LanguageModel, loadCheckpoint, type LoadOptions } from "../llama/checkpoint.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { ggufName, ggufRowOrder, inverseOrder } from "../llama/gguf_names.ts";
import { parameterShapes } from "../llama/parameters.ts";
import { type StoredDType, type StoredTensor, uploaded } from "../llama/transfer.ts";
import type { Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";
import { architecture, ggufFloats, ggufText, wantedEntry } from "./open_packed.ts";

/**
 * Loads a model with its weights as numbers: a folder in Hugging Face's layout, as `loadCheckpoint` does, or a GGUF file, whose weights may
 * be floats or of any type that `openPacked` reads. Weights go to the device one after another.
 *
 * @throws Error that names the file, field, key or tensor, what it is, and what was wanted
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, loadModel, packFile } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 64 }, { seed: 1 });
 * const path = await Deno.makeTempFile({ suffix: ".gguf" });
 * await packFile(path, { ...model, tokenizer: byteTokenizer }, { format: "f16" });
 * console.log((await loadModel(path)).config.hiddenSize); // 64
 * await Deno.remove(path);
 * ```
 */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const folder = await isFolder(path);
  if (folder === undefined) throw new Error(`Cannot open "${path}": no such file or folder`);
  if (folder) return await loadCheckpoint(path, options);
  const file = await openGgufFile(path);
  try {
    return await fromGguf(file, options);
  } finally {
    file.close();
  }
}

async function fromGguf(file: GgufFile, { parameters: keep = "float32", ...reading }: LoadOptions): Promise<LanguageModel> {
  const config = await architecture(file, reading);
  const text = await ggufText(file, reading);
  const parameters: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(parameterShapes(config))) {
    wantedEntry(file, ggufName(name), shape);
    const value = await uploaded(await floatsOf(file, ggufName(name)), { keep: shape.length === 2 ? keep : "float32", name });
    parameters[name] = inModelOrder(value, name, config);
  }
  return { config, parameters, ...text };
}

/** GGUF types that travel to the device as they are. */
const plainTypes: Readonly<Record<string, StoredDType>> = { F32: "F32", F16: "F16", BF16: "BF16" };

/** A tensor as floats: as it is stored, or unpacked a piece of its rows at a time. */
async function floatsOf(file: GgufFile, name: string): Promise<StoredTensor> {
  const { type, shape } = present(file.tensors.get(name), name);
  if (Object.hasOwn(plainTypes, type)) {
    return { dtype: plainTypes[type], shape, bytes: (start, length) => file.readBytes(name, start, length) };
  }
  if (ggmlFloats(type, new Uint8Array())) {
    const { blockLength, blockBytes } = ggmlTypes[type];
    const packed = (bytes: number) => bytes / 4 / blockLength * blockBytes;
    const bytes = async (start: number, length: number) =>
      bytesOf(ggmlFloats(type, await file.readBytes(name, packed(start), packed(length)))!);
    return { dtype: "F32", shape, bytes };
  }
  const values = bytesOf(ggufFloats(await file.read(name), name));
  return { dtype: "F32", shape, bytes: (start, length) => values.subarray(start, start + length) };
}

function inModelOrder(value: Tensor, name: string, config: LlamaConfig): Tensor {
  const order = ggufRowOrder(name, config);
  if (!order || sizeOf(value.shape) === 0) return value;
  const [ordered] = realize([value.gather(tensor(inverseOrder(order)))]);
  value.dispose();
  return ordered;
}
