/**
 * A quantized Llama model as a GGUF file.
 *
 * @module
 */

import { type Bytes, bytesOf } from "../io/bytes.ts";
import { float32ToFloat16 } from "../io/float16.ts";
import { float32ToQ8_0 } from "../io/ggml_floats.ts";
import { ggmlTypes } from "../io/ggml_types.ts";
import type { GgufFile, GgufMetadata, GgufTensor } from "../io/gguf.ts";
import { writeGguf } from "../io/gguf_writer.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import { huggingFaceConfig, type LlamaConfig } from "../llama/config.ts";
import { type LlamaConfigJson, llamaGgufMetadata, ropeFactors } from "../llama/gguf_metadata.ts";
import { ggufName, reorderRows, ropeFactorsName, ropeRowOrder } from "../llama/gguf_names.ts";
import { ropeMetadata } from "../llama/gguf_reader.ts";
import { tokenizerGgufMetadata } from "../llama/gguf_tokenizer.ts";
import { isNorm, parameterShapes, quantizedNames } from "../llama/parameters.ts";
import type { PackedFormat } from "../pack/format.ts";
import { reorderMatrix } from "../pack/groups.ts";
import { sizeOf } from "../core/shape.ts";
import {
  halfPrecisionValues,
  packedQuantization,
  type PackedSizes,
  refuseBias,
  sumSizes,
  ternaryMatrices,
} from "./packed_weights.ts";
import { roundedModel } from "./rounded.ts";

/** As `PackOptions`, with the format itself; half precision where there is none. */
export interface GgufOptions {
  /** Of the quantized weights. */
  readonly format?: PackedFormat;
  /** For a model that does not say how it is quantized, and only where there is a format. */
  readonly quantization?: Quantization;
  /** Of the embedding and the head. */
  readonly embeddings: "f16" | "q8_0";
  /** Whether scales may be merged. */
  readonly allowLoss?: boolean;
  /** What people call the model. */
  readonly name?: string;
}

/** Metadata keys that say how the weights were trained. */
export const quantizationKeys = { quantizer: "hestia.quantizer", groupSize: "hestia.group_size" } as const;

/** Bytes of a GGUF file: see `pack`. */
export async function packGguf(model: LanguageModel, options: GgufOptions): Promise<Bytes> {
  const { format, name } = options;
  const quantization = format ? packedQuantization(model, options.quantization) : model.quantization;
  const json = huggingFaceConfig(model.config) as unknown as LlamaConfigJson;
  const metadata: GgufMetadata = {
    ...llamaGgufMetadata(json, { name }),
    ...tokenizerMetadata(model),
    ...ropeMetadata(model.config),
    ...(quantization ? quantizationMetadata(quantization) : {}),
  };
  const factors = ropeFactors(json);
  const rope: GgufTensor | undefined = factors && { type: "F32", shape: [factors.length], bytes: bytesOf(factors) };
  const tensors = format ? await ternaryTensors(model, { ...options, format }) : await floatTensors(withoutBias(model), options);
  return writeGguf(metadata, { ...(rope ? { [ropeFactorsName]: rope } : {}), ...tensors });
}

/** The model that a quantizer makes of its latent weights. Throws a `RangeError` where that has biases. */
function withoutBias(model: LanguageModel): LanguageModel {
  if (model.quantization) refuseBias(model.quantization.quantizer);
  return roundedModel(model);
}

function quantizationMetadata({ quantizer, groupSize }: Quantization): GgufMetadata {
  return {
    [quantizationKeys.quantizer]: { type: "string", value: quantizer },
    [quantizationKeys.groupSize]: { type: "int32", value: groupSize },
  };
}

function tokenizerMetadata({ config, tokenizer, beginToken, endTokens = [] }: LanguageModel): GgufMetadata {
  return tokenizerGgufMetadata(tokenizer.toJSON(), {
    vocabularySize: config.vocabularySize,
    bosTokenId: beginToken,
    eosTokenId: endTokens[0] ?? 0, // llama.cpp ends at id 11 where no token is named: a line feed, for bytes
  });
}

async function ternaryTensors(
  model: LanguageModel,
  options: GgufOptions & { readonly format: PackedFormat },
): Promise<Record<string, GgufTensor>> {
  const { config } = model;
  const packed: Record<string, GgufTensor> = {};
  for await (const [name, matrix] of ternaryMatrices(model, options)) {
    const order = rowOrder(name, config);
    const bytes = options.format.pack(order ? reorderMatrix(matrix, order) : matrix);
    packed[ggufName(name)] = { type: options.format.ggmlType!, shape: [matrix.rows, matrix.columns], bytes };
  }
  const names = Object.keys(parameterShapes(config));
  const quantized = new Set(quantizedNames(config));
  const floats = await floatTensors(model, { ...options, names: names.filter((name) => !quantized.has(name)) });
  return Object.fromEntries(names.map(ggufName).map((name) => [name, packed[name] ?? floats[name]]));
}

async function floatTensors(
  { config, parameters }: LanguageModel,
  { embeddings, names = Object.keys(parameterShapes(config)) }: GgufOptions & { readonly names?: readonly string[] },
): Promise<Record<string, GgufTensor>> {
  const tensors: Record<string, GgufTensor> = {};
  for (const name of names) {
    const { shape } = parameters[name];
    const isEmbedding = name.startsWith("model.embed_tokens") || name.startsWith("lm_head");
    if (isNorm(name)) {
      const bytes = bytesOf(Float32Array.from(await parameters[name].data()));
      tensors[ggufName(name)] = { type: "F32", shape, bytes };
    } else if (isEmbedding && embeddings === "q8_0") {
      const values = await halfPrecisionValues(parameters[name], name);
      tensors[ggufName(name)] = { type: "Q8_0", shape, bytes: eightBits(values, { name, columns: shape[1] }) };
    } else {
      const values = await halfPrecisionValues(parameters[name], name);
      const order = rowOrder(name, config);
      const bytes = bytesOf(float32ToFloat16(order ? reorderRows(values, order) : values));
      tensors[ggufName(name)] = { type: "F16", shape, bytes };
    }
  }
  return tensors;
}

function eightBits(values: Float32Array, { name, columns }: { readonly name: string; readonly columns: number }): Bytes {
  const { blockLength } = ggmlTypes.Q8_0;
  if (columns % blockLength === 0) return float32ToQ8_0(values);
  throw new RangeError(`Cannot pack "${name}" as q8_0: columns must be a multiple of ${blockLength}, got ${columns}`);
}

/** Order of rows in the file where it is not that of the model. */
export function rowOrder(name: string, { heads, keyValueHeads, headDim }: LlamaConfig): Uint32Array | undefined {
  if (name.endsWith("q_proj.weight")) return ropeRowOrder(heads * headDim, heads);
  return name.endsWith("k_proj.weight") ? ropeRowOrder(keyValueHeads * headDim, keyValueHeads) : undefined;
}

/** Measures the tensors of a packed model. */
export function packedSizes({ tensors }: Pick<GgufFile, "tensors">): PackedSizes {
  return sumSizes(
    Array.from(tensors, ([name, { shape, byteLength }]) => {
      const isQuantized = name.startsWith("blk.") && shape.length === 2;
      return { bytes: byteLength, weights: sizeOf(shape), isQuantized };
    }),
  );
}
