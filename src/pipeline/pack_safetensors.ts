/**
 * The tensors of a quantized model as safetensors hold them: codes as `NAME`, scales as `NAME_scale`, all else in half precision and the
 * norms in float32.
 *
 * @module
 */

import { type Shape, sizeOf } from "../core/shape.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import { bytesOf, joinBytes, viewAs } from "../io/bytes.ts";
import { float32ToFloat16 } from "../io/float16.ts";
import {
  elementBytes,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsSource,
  tensorValues,
} from "../io/safetensors.ts";
import type { Checkpoint } from "../io/safetensors_file.ts";
import { configJson, type LanguageModel, type Quantization } from "../llama/checkpoint.ts";
import { isBias, isNorm, parameterShapes, quantizedNames } from "../llama/parameters.ts";
import { requireFinite } from "../finite.ts";
import { downloaded, savedDTypes } from "../llama/transfer.ts";
import { type PackedFormat, type TernaryMatrix, ternaryWeights } from "../pack/format.ts";
import type { StoredParameter } from "./packed_maps.ts";
import {
  type Fitting,
  halfAction,
  packedQuantization,
  type PackedSizes,
  packingCounter,
  sumSizes,
  ternaryMatrix,
} from "./packed_weights.ts";

/** Name of the scales of a weight. */
export function scaleName(name: string): string {
  return `${name}_scale`;
}

/** How a format's bytes lie in a checkpoint: codes first, then scales of `scaleDtype`. */
export interface Apart {
  /** The format. */
  readonly format: PackedFormat;
  /** dtype of the scales. */
  readonly scaleDtype: "F16" | "F32";
  /** Shape of the codes of a matrix. */
  codeShape(shape: { readonly rows: number; readonly columns: number }): Shape;
}

/** The field of `config.json` that says how the weights were trained. `hestia` would say that they are latent. */
const trainedField = "hestia_trained";

/** `config.json` of a packed model. */
export function packedConfigJson(model: LanguageModel, { quantization: given }: Pick<Fitting, "quantization">): JsonObject {
  const { quantizer, groupSize } = packedQuantization(model, given);
  const { config, beginToken, endTokens, origin } = model;
  return { ...configJson(config, { beginToken, endTokens, origin }), [trainedField]: { quantizer, groupSize } };
}

/** Tensors of a packed model by name: what is packed at hand, the others when they are written. */
export async function packedEntries(
  model: LanguageModel,
  { apart, onProgress, ...fitting }: Omit<Fitting, "format"> & { readonly apart: Apart },
): Promise<Record<string, SafetensorsSource>> {
  const entries: Record<string, SafetensorsSource> = {};
  const { config, parameters } = model;
  const packed = packingCounter(config, onProgress);
  for (const name of quantizedNames(config)) {
    const matrix = await ternaryMatrix(model, name, { ...fitting, format: apart.format });
    Object.assign(entries, matrixEntries(name, matrix, apart));
    packed(name);
  }
  for (const name of Object.keys(parameterShapes(config)).filter((name) => !(name in entries))) {
    const { shape } = parameters[name];
    const dtype = isNorm(name) || isBias(name) ? "float32" : "float16";
    await requireFinite({ [name]: parameters[name] }, "pack"); // before anything is written
    const pieces = () => downloaded(parameters[name], { dtype, action: halfAction(name) });
    entries[name] = { dtype: savedDTypes[dtype], shape, pieces };
    packed(name);
  }
  return entries;
}

function matrixEntries(name: string, matrix: TernaryMatrix, apart: Apart): Record<string, SafetensorsSource> {
  const bytes = apart.format.pack(matrix);
  const groups = matrix.scales.length;
  const codeBytes = bytes.length - groups * (apart.scaleDtype === "F16" ? 2 : 4);
  return {
    [name]: { dtype: "U8", shape: apart.codeShape(matrix), pieces: () => [bytes.subarray(0, codeBytes)] },
    [scaleName(name)]: { dtype: apart.scaleDtype, shape: [groups], pieces: () => [bytes.subarray(codeBytes)] },
  };
}

/** How packed tensors become floats again. */
export interface UnpackedView {
  /** How the codes lie. */
  readonly apart: Apart;
  /** Shapes of the model's parameters. */
  readonly shapes: Readonly<Record<string, Shape>>;
  /** Whether weights are codes divided by the stored scales. */
  readonly divides?: boolean;
}

/** The checkpoint with its packed tensors as float32: what stands under U8 beside its scales is unpacked when it is read. */
export function unpackedCheckpoint(checkpoint: Checkpoint, view: UnpackedView): Checkpoint {
  const { tensors } = checkpoint;
  const isPacked = (name: string) =>
    tensors.get(name)?.dtype === "U8" && tensors.has(scaleName(name)) && Object.hasOwn(view.shapes, name);
  const isScale = (name: string) => name.endsWith("_scale") && isPacked(name.slice(0, -"_scale".length));
  const seen = [...tensors].filter(([name]) => !isScale(name)).map(([name, entry]) =>
    [name, isPacked(name) ? { dtype: "F32", shape: view.shapes[name] } as const : entry] as const
  );
  const read: Checkpoint["read"] = (name) => isPacked(name) ? unpackedEntry(checkpoint, name, view) : checkpoint.read(name);
  return {
    ...checkpoint,
    tensors: new Map(seen),
    read,
    readBytes: async (name, start, length) =>
      isPacked(name) ? (await read(name)).bytes.subarray(start, start + length) : await checkpoint.readBytes(name, start, length),
  };
}

async function unpackedEntry(checkpoint: Checkpoint, name: string, view: UnpackedView): Promise<SafetensorsEntry> {
  return { dtype: "F32", shape: view.shapes[name], bytes: bytesOf(ternaryWeights(await storedMatrix(checkpoint, name, view))) };
}

/** A parameter as the checkpoint holds it. */
export async function storedParameter(checkpoint: Checkpoint, name: string, view: UnpackedView): Promise<StoredParameter> {
  if (checkpoint.tensors.get(name)?.dtype === "U8") return await storedMatrix(checkpoint, name, view);
  const entry = await checkpoint.read(name);
  const isTable = entry.dtype === "F16" && entry.shape.length === 2;
  return isTable ? viewAs(entry.bytes, Uint16Array<ArrayBuffer>) : Float32Array.from(tensorValues(entry));
}

/** Codes and scales of a packed tensor. */
export async function storedMatrix(checkpoint: Checkpoint, name: string, view: UnpackedView): Promise<TernaryMatrix> {
  const { apart, shapes, divides = false } = view;
  const [codes, stored] = [await checkpoint.read(name), await checkpoint.read(scaleName(name))];
  const scales = Float32Array.from(tensorValues(stored), (scale) => divides ? 1 / scale : scale);
  const scaleBytes = bytesOf(apart.scaleDtype === "F16" ? float32ToFloat16(scales) : scales);
  const [rows, columns] = shapes[name];
  return apart.format.unpack(joinBytes([codes.bytes, scaleBytes]), { rows, columns });
}

/** Measures the stored tensors of a packed checkpoint. */
export function checkpointSizes(
  tensors: ReadonlyMap<string, { readonly shape: Shape; readonly dtype: SafetensorsDType }>,
  { config }: Pick<LanguageModel, "config">,
): PackedSizes {
  const quantized = new Set(quantizedNames(config));
  const shapes = parameterShapes(config);
  return sumSizes(
    Array.from(tensors, ([name, { shape, dtype }]) => {
      const isQuantized = quantized.has(name) || quantized.has(name.replace(/_scale$/, ""));
      return { bytes: sizeOf(shape) * elementBytes[dtype], weights: quantized.has(name) ? sizeOf(shapes[name]) : 0, isQuantized };
    }),
  );
}

/** How a packed model's `config.json` says that its weights were trained, if it does. */
export function trainedWith(config: JsonObject): { readonly trainedWith?: Quantization } {
  const field = config[trainedField];
  const { quantizer, groupSize } = isJsonObject(field) ? field : {} as JsonObject;
  return typeof quantizer === "string" && typeof groupSize === "number" ? { trainedWith: { quantizer, groupSize } } : {};
}
