/**
 * Opening packed models, from a file or the network.
 *
 * @module
 */

import { sameShape } from "../core/shape.ts";
import { tensor } from "../create.ts";
import { type Bytes, viewAs } from "../io/bytes.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "../io/float16.ts";
import type { Gguf, GgufMetadata, GgufTensor } from "../io/gguf.ts";
import { parseGguf } from "../io/gguf_reader.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { ggufName, inverseOrder, reorderRows, ropeFactorsName } from "../llama/gguf_names.ts";
import { ggufLlamaConfig, ggufTokenizer } from "../llama/gguf_reader.ts";
import { parameterShapes } from "../llama/parameters.ts";
import { loadTokenizer } from "../llama/tokenizer.ts";
import { ternaryWeights } from "../pack/format.ts";
import { packedFormatOf, packedFormats } from "../pack/formats.ts";
import type { Tensor } from "../tensor.ts";
import { type PackedSizes, packedSizes, quantizationKeys, rowOrder } from "./pack.ts";

/** A packed model, ready to run: its parameters are what it computes with. */
export interface PackedModel extends Omit<LanguageModel, "quantization"> {
  /** How the weights were trained, where the file says so. */
  readonly trainedWith?: Quantization;
  /** Bytes of the file's tensors. */
  readonly sizes: PackedSizes;
}

/**
 * Opens a packed Llama model: a GGUF file with weights in a packed format, F32, F16 or BF16. Weights are unpacked to float32.
 *
 * @param source the bytes, or what `fetch` gave, or a stream
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
  source: Uint8Array | Response | ReadableStream<Uint8Array>,
  options: { readonly source?: string } = {},
): Promise<PackedModel> {
  const gguf = parseGguf(await bytesFrom(source), options);
  const embedding = wantedTensor(gguf, "model.embed_tokens.weight");
  const factors = gguf.tensors.get(ropeFactorsName);
  const config = ggufLlamaConfig(gguf.metadata, {
    vocabularySize: embedding.shape[0],
    tieEmbeddings: !gguf.tensors.has(ggufName("lm_head.weight")),
    ...(factors ? { ropeFactors: unpack(factors, ropeFactorsName) } : {}),
  });
  const { json, ...special } = ggufTokenizer(gguf.metadata);
  const parameters: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(parameterShapes(config))) {
    parameters[name] = parameter(gguf, config, { name, shape });
  }
  const trainedWith = quantizationOf(gguf.metadata);
  const tokenizer = await loadTokenizer(json);
  return { config, parameters, tokenizer, ...special, ...(trainedWith ? { trainedWith } : {}), sizes: packedSizes(gguf) };
}

async function bytesFrom(source: Uint8Array | Response | ReadableStream<Uint8Array>): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  const response = source instanceof Response ? source : new Response(source as ReadableStream<Bytes>);
  if (!response.ok) throw new Error(`Cannot fetch ${response.url}: ${response.status} ${response.statusText}`);
  return await response.bytes();
}

function wantedTensor({ tensors }: Gguf, name: string): GgufTensor {
  const found = tensors.get(ggufName(name));
  if (!found) throw new RangeError(`Cannot open the packed model: wanted a tensor "${ggufName(name)}", there is none`);
  return found;
}

function parameter(gguf: Gguf, config: LlamaConfig, { name, shape }: { name: string; shape: readonly number[] }): Tensor {
  const stored = wantedTensor(gguf, name);
  if (!sameShape(stored.shape, shape)) {
    throw new RangeError(`Cannot open the packed model: wanted "${ggufName(name)}" to be [${shape}], got [${stored.shape}]`);
  }
  const values = unpack(stored, ggufName(name));
  const order = rowOrder(name, config);
  return tensor(order ? reorderRows(values, inverseOrder(order)) : values, { shape });
}

function unpack({ type, shape, bytes }: GgufTensor, name: string): Float32Array<ArrayBuffer> {
  if (type === "F32") return viewAs(bytes, Float32Array<ArrayBuffer>);
  if (type === "F16") return float16ToFloat32(viewAs(bytes, Uint16Array<ArrayBuffer>));
  if (type === "BF16") return bfloat16ToFloat32(viewAs(bytes, Uint16Array<ArrayBuffer>));
  const format = packedFormatOf(type);
  if (format) return ternaryWeights(format.unpack(bytes, { rows: shape[0], columns: shape[1] }));
  const types = ["F32", "F16", "BF16", ...Object.values(packedFormats).map(({ ggmlType }) => ggmlType)];
  throw new RangeError(`Cannot unpack "${name}": it is of type ${type}, wanted one of ${types.join(", ")}`);
}

function quantizationOf(metadata: GgufMetadata): Quantization | undefined {
  const quantizer = metadata[quantizationKeys.quantizer]?.value;
  const groupSize = metadata[quantizationKeys.groupSize]?.value;
  return typeof quantizer === "string" && typeof groupSize === "number" ? { quantizer, groupSize } : undefined;
}
