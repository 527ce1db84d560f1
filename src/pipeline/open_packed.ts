/**
 * Opening packed models, from a file or the network.
 *
 * @module
 */

import { sameShape, type Shape } from "../core/shape.ts";
import { type Bytes, isGzip, viewAs } from "../io/bytes.ts";
import { float32ToFloat16 } from "../io/float16.ts";
import { floatTypes, ggmlFloats } from "../io/ggml_floats.ts";
import { type GgufEntry, type GgufFile, ggufInMemory, type GgufMetadata, type GgufTensor } from "../io/gguf.ts";
import { refuseSplit } from "../io/gguf_split.ts";
import { parseGguf } from "../io/gguf_reader.ts";
import { type ReadingOptions, refuseUnknown } from "../io/fields.ts";
import type { LanguageModel, Quantization, TextSettings } from "../llama/checkpoint.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { ggufLlamaConfig } from "../llama/gguf_config.ts";
import { hestiaKeys } from "../llama/gguf_fields.ts";
import { ggufName, ggufRowOrder, inverseOrder, reorderRows, ropeFactorsName } from "../llama/gguf_names.ts";
import { layerLinears, parameterShapes } from "../llama/parameters.ts";
import { ggufTokenizer } from "../tokenizer/gguf_read.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { type TernaryMatrix, ternaryWeights } from "../pack/format.ts";
import { packedFormatOf, packedFormats } from "../pack/formats.ts";
import { alreadyTernary, reorderMatrix } from "../pack/groups.ts";
import type { PackedMatmulOptions } from "../pack/packed_weight.ts";
import { looksDense, openDense } from "./pack_dense.ts";
import { packedMaps, type StoredParameter } from "./packed_maps.ts";
import { packedSizes } from "./pack_gguf.ts";
import type { PackedSizes } from "./packed_weights.ts";

/** A packed model, ready to run: it computes with `maps`, and its `parameters` are unpacked when somebody asks for their numbers. */
export interface PackedModel extends Omit<LanguageModel, "quantization"> {
  /** How the weights were trained, where the file says so. */
  readonly trainedWith?: Quantization;
  /** Bytes of the file's tensors. */
  readonly sizes: PackedSizes;
}

/**
 * Opens a packed Llama model: a GGUF file, ours or one that llama.cpp has quantized, or a dense file, compressed or not. Weights stay
 * packed on the device. In GGUF they may be of any packed format, F32, F16, BF16, Q8_0, Q4_0, Q5_0, Q4_K or Q6_K; embeddings and heads of
 * fewer than 16 bits are held in half precision.
 *
 * @param source the bytes, or what `fetch` gave, or a stream, or an open file, from which one tensor at a time is read
 * @throws Error that names the tensor or metadata key, what it is, and what was wanted
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, openPacked, pack } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 64 }, { seed: 1 });
 * const quantization = { quantizer: "ternary", groupSize: 64 };
 * const bytes = await pack({ ...model, tokenizer: byteTokenizer, quantization });
 * const { sizes } = await openPacked(bytes); // or await fetch("model.gguf")
 * console.log(sizes.bitsPerWeight); // 2.25
 * ```
 */
export async function openPacked(
  source: Uint8Array | Response | ReadableStream<Uint8Array> | GgufFile,
  options: PackedMatmulOptions & ReadingOptions & { readonly source?: string } = {},
): Promise<PackedModel> {
  if ("read" in source) return await openGguf(source, options);
  const name = options.source ?? "the packed model";
  const given = await bytesFrom(source);
  const bytes = isGzip(given) ? await decompressed(given, name) : given;
  if (looksDense(bytes)) return await openDense(bytes, { ...options, source: name });
  const parsed = parseGguf(bytes, { source: name });
  refuseSplit(parsed.metadata, name);
  return await openGguf(ggufInMemory(parsed), options);
}

/** Content of a compressed file. What it takes is loaded here: few models are compressed. */
async function decompressed(bytes: Uint8Array, source: string): Promise<Uint8Array> {
  const { gunzipModel } = await import("../io/gzip_model.ts");
  return gunzipModel(bytes, { source });
}

async function bytesFrom(source: Uint8Array | Response | ReadableStream<Uint8Array>): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  const response = source instanceof Response ? source : new Response(source as ReadableStream<Bytes>);
  if (!response.ok) throw new Error(`Cannot fetch ${response.url}: ${response.status} ${response.statusText}`);
  return await response.bytes();
}

async function openGguf(file: GgufFile, options: PackedMatmulOptions & ReadingOptions): Promise<PackedModel> {
  const config = await architecture(file, options);
  const text = await ggufText(file, options);
  const read = async (name: string, shape: Shape) => asTable(await storedParameter(file, config, { name, shape }), file, name);
  const model = await packedMaps(config, read, options);
  const trainedWith = quantizationOf(file.metadata);
  return { ...model, ...text, ...(trainedWith ? { trainedWith } : {}), sizes: packedSizes(file) };
}

/** Embeddings and heads that are stored in fewer than 16 bits are held in halves, not in twice as much: that rounds by 2⁻¹² at most. */
function asTable(stored: StoredParameter, { tensors }: GgufFile, name: string): StoredParameter {
  const isTable = name === "model.embed_tokens.weight" || name === "lm_head.weight";
  if (!isTable || !(stored instanceof Float32Array) || ["F32", "BF16"].includes(tensors.get(ggufName(name))!.type)) return stored;
  return stored.every((value) => Math.abs(value) <= largestHalf) ? float32ToFloat16(stored) : stored;
}

const largestHalf = 65504;

/** Tokenizer and what else the metadata say about text. */
export async function ggufText({ metadata }: Pick<GgufFile, "metadata">, reading: ReadingOptions): Promise<GgufText> {
  const { json, ...special } = ggufTokenizer(metadata, reading);
  return { tokenizer: await loadTokenizer(json), ...special };
}

type GgufText = Omit<TextSettings, "quantization">;

/** What the metadata and the tensors say: each is known, or refused. */
export async function architecture(file: GgufFile, reading: ReadingOptions = {}): Promise<LlamaConfig> {
  const { metadata, tensors } = file;
  const embedding = wantedEntry(file, ggufName("model.embed_tokens.weight"));
  const factors = tensors.has(ropeFactorsName) ? await file.read(ropeFactorsName) : undefined;
  const config = ggufLlamaConfig(metadata, {
    vocabularySize: embedding.shape[0],
    tieEmbeddings: !tensors.has(ggufName("lm_head.weight")),
    biases: layerLinears.filter((linear) => tensors.has(ggufName(`model.layers.0.${linear}.bias`))),
    ...(factors ? { ropeFactors: ggufFloats(factors, ropeFactorsName) } : {}),
  }, reading);
  if (config.layers > tensors.size) {
    throw new RangeError(`Cannot open the packed model: ${config.layers} layers, but only ${tensors.size} tensors`);
  }
  const known = new Set([ropeFactorsName, ...Object.keys(parameterShapes(config)).map(ggufName)]);
  for (const name of tensors.keys()) {
    if (known.has(name)) continue;
    const model = `${known.size - 1} of a ${config.family ?? "llama"} model of ${config.layers} layers`;
    refuseUnknown(`Cannot open the packed model: tensor "${name}" is not one of the ${model}`, reading);
  }
  return config;
}

/** What the file says of a tensor. Throws a RangeError where there is none of that name, or it has another shape. */
export function wantedEntry({ tensors }: Pick<GgufFile, "tensors">, name: string, shape?: Shape): GgufEntry {
  const found = tensors.get(name);
  if (!found) throw new RangeError(`Cannot open the packed model: wanted a tensor "${name}", there is none`);
  if (!shape || sameShape(found.shape, shape)) return found;
  throw new RangeError(`Cannot open the packed model: wanted "${name}" to be [${shape}], got [${found.shape}]`);
}

/** A parameter as the file holds it, rows in the model's order. */
export async function storedParameter(
  file: GgufFile,
  config: LlamaConfig,
  { name, shape }: { readonly name: string; readonly shape: readonly number[] },
): Promise<StoredParameter> {
  wantedEntry(file, ggufName(name), shape);
  const stored = await file.read(ggufName(name));
  const order = ggufRowOrder(name, config);
  const inModelOrder = order && inverseOrder(order);
  const matrix = shape.length === 2 ? storedMatrix(stored, ggufName(name)) : undefined;
  if (matrix) return inModelOrder ? reorderMatrix(matrix, inModelOrder) : matrix;
  const isTable = stored.type === "F16" && shape.length === 2;
  const values = isTable ? viewAs(stored.bytes, Uint16Array<ArrayBuffer>) : ggufFloats(stored, ggufName(name));
  return inModelOrder ? reorderRows(values, inModelOrder) : values;
}

/** Codes and scales of a stored matrix; undefined where it is not ternary, as what llama.cpp stores as Q4_0 may be. */
function storedMatrix(stored: GgufTensor, name: string): TernaryMatrix | undefined {
  const format = packedFormatOf(stored.type);
  if (!format) return undefined;
  const [rows, columns] = stored.shape;
  const alsoHoldsFloats = (floatTypes as readonly string[]).includes(stored.type);
  return alsoHoldsFloats
    ? alreadyTernary(ggufFloats(stored, name), { rows, columns, groupSize: format.blockSize })
    : format.unpack(stored.bytes, { rows, columns });
}

/** Values of a stored tensor. Throws a `RangeError` that names it where its type is not known. */
export function ggufFloats({ type, shape, bytes }: GgufTensor, name: string): Float32Array<ArrayBuffer> {
  const floats = ggmlFloats(type, bytes);
  if (floats) return floats;
  const format = packedFormatOf(type);
  if (format && shape.length === 2) return ternaryWeights(format.unpack(bytes, { rows: shape[0], columns: shape[1] }));
  const ternary = Object.values(packedFormats).flatMap(({ ggmlType = [] }) => ggmlType);
  const types = [...new Set([...floatTypes, ...ternary])];
  throw new RangeError(`Cannot unpack "${name}": it is ${type} [${shape}], wanted a matrix of one of ${types.join(", ")}`);
}

function quantizationOf(metadata: GgufMetadata): Quantization | undefined {
  const quantizer = metadata[hestiaKeys.quantizer]?.value;
  const groupSize = metadata[hestiaKeys.groupSize]?.value;
  return typeof quantizer === "string" && typeof groupSize === "number" ? { quantizer, groupSize } : undefined;
}
