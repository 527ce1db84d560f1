/**
 * A quantized Llama model as a GGUF file.
 *
 * @module
 */

import { partsOf } from "../core/names.ts";
import { float32ToFloat16 } from "../io/float16.ts";
import { type Bytes, bytesOf } from "../io/bytes.ts";
import type { Gguf, GgufMetadata, GgufTensor } from "../io/gguf.ts";
import { writeGguf } from "../io/gguf_writer.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import { huggingFaceConfig, type LlamaConfig } from "../llama/config.ts";
import { type LlamaConfigJson, llamaGgufMetadata, ropeFactors } from "../llama/gguf_metadata.ts";
import { ggufName, reorderRows, ropeFactorsName, ropeRowOrder } from "../llama/gguf_names.ts";
import { ropeMetadata } from "../llama/gguf_reader.ts";
import { tokenizerGgufMetadata } from "../llama/gguf_tokenizer.ts";
import { isNorm, parameterShapes, quantizedNames } from "../llama/parameters.ts";
import type { PackedFormat } from "../pack/format.ts";
import { type PackedFormatName, packedFormatOf, packedFormats } from "../pack/formats.ts";
import { quantizerNamed } from "../quant/registry.ts";
import type { Tensor } from "../tensor.ts";

/** How a model is packed. */
export interface PackOptions {
  /** Format of the quantized weights; "q2_0" by default, which holds groups of 64, 128, …, channels and whole tensors exactly. */
  readonly format?: PackedFormatName;
  /** How weights are rounded, for a model that does not say; it is then rounded without training. */
  readonly quantization?: Quantization;
  /** What people call the model. */
  readonly name?: string;
}

/** Metadata keys that say how the weights were trained. */
export const quantizationKeys = { quantizer: "hestia.quantizer", groupSize: "hestia.group_size" } as const;

/**
 * Bytes of a GGUF file: the linear maps of the layers as codes and scales of the model's quantizer, embedding and head in half precision,
 * norms in float32, and the tokenizer. llama.cpp reads it.
 *
 * @throws RangeError where the model is in full precision and `quantization` is absent, the format cannot hold its groups, or a value is
 * too large for half precision
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, pack } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 64 }, { seed: 1 });
 * const quantization = { quantizer: "ternary", groupSize: 64 };
 * const bytes = await pack({ ...model, tokenizer: byteTokenizer, quantization });
 * console.log(new TextDecoder().decode(bytes.subarray(0, 4))); // GGUF
 * ```
 */
export async function pack(model: LanguageModel, options: PackOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const { format = "q2_0", quantization = model.quantization, name } = options;
  if (!quantization) {
    throw new RangeError(
      'Cannot pack a model in full precision: wanted the option quantization, such as { quantizer: "ternary", groupSize: 128 }',
    );
  }
  const json = huggingFaceConfig(model.config) as unknown as LlamaConfigJson;
  const metadata: GgufMetadata = {
    ...llamaGgufMetadata(json, { name }),
    ...tokenizerMetadata(model),
    ...ropeMetadata(model.config),
    [quantizationKeys.quantizer]: { type: "string", value: quantization.quantizer },
    [quantizationKeys.groupSize]: { type: "int32", value: quantization.groupSize },
  };
  const factors = ropeFactors(json);
  const rope: GgufTensor | undefined = factors && { type: "F32", shape: [factors.length], bytes: bytesOf(factors) };
  const tensors = await packedTensors(model, packedFormats[format], quantization);
  return writeGguf(metadata, { ...(rope ? { [ropeFactorsName]: rope } : {}), ...tensors });
}

function tokenizerMetadata({ config, tokenizer, beginToken, endTokens = [] }: LanguageModel): GgufMetadata {
  return tokenizerGgufMetadata(tokenizer.toJSON(), {
    vocabularySize: config.vocabularySize,
    bosTokenId: beginToken,
    eosTokenId: endTokens[0] ?? 0, // llama.cpp ends at id 11 where no token is named: a line feed, for bytes
  });
}

async function packedTensors(
  model: LanguageModel,
  format: PackedFormat,
  quantization: Quantization,
): Promise<Record<string, GgufTensor>> {
  const { config, parameters } = model;
  const quantized = new Set(quantizedNames(config));
  const tensors: Record<string, GgufTensor> = {};
  for (const name of Object.keys(parameterShapes(config))) {
    const tensor = quantized.has(name)
      ? await packedTensor(parameters[name], format, {
        ...quantization,
        parameters: partsOf(quantization.parameters ?? {}, name),
      })
      : await floatTensor(parameters[name], name);
    const order = rowOrder(name, config);
    tensors[ggufName(name)] = order ? { ...tensor, bytes: reorderRows(tensor.bytes as Bytes, order) } : tensor;
  }
  return tensors;
}

/** Order of rows in the file where it is not that of the model. */
export function rowOrder(name: string, { heads, keyValueHeads, headDim }: LlamaConfig): Uint32Array | undefined {
  if (name.endsWith("q_proj.weight")) return ropeRowOrder(heads * headDim, heads);
  return name.endsWith("k_proj.weight") ? ropeRowOrder(keyValueHeads * headDim, keyValueHeads) : undefined;
}

async function packedTensor(
  weight: Tensor,
  format: PackedFormat,
  { quantizer: name, groupSize, scaleDtype, parameters }: Quantization,
): Promise<GgufTensor> {
  const quantizer = quantizerNamed(name);
  if (!quantizer.codes) throw new RangeError(`Cannot pack weights quantized by "${name}": they are no integers times scales`);
  if (quantizer.bias) throw new RangeError(`Cannot pack weights quantized by "${name}": the file has no place for its biases`);
  const { codes, scales } = quantizer.codes(weight, { groupSize, scaleDtype, parameters });
  const [codeData, scaleData] = await Promise.all([codes.data(), scales.data()]);
  [codes, scales].forEach((tensor) => tensor.dispose());
  const [rows, columns] = weight.shape;
  const bytes = format.pack({ codes: Int8Array.from(codeData), scales: Float32Array.from(scaleData), rows, columns, groupSize });
  return { type: format.ggmlType, shape: weight.shape, bytes };
}

async function floatTensor(parameter: Tensor, name: string): Promise<GgufTensor> {
  const values = Float32Array.from(await parameter.data());
  if (isNorm(name)) return { type: "F32", shape: parameter.shape, bytes: bytesOf(values) };
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (!(largest < 65520)) {
    throw new RangeError(`Cannot pack "${name}" in half precision: it holds ${largest}, wanted at most 65504`);
  }
  return { type: "F16", shape: parameter.shape, bytes: bytesOf(float32ToFloat16(values)) };
}

/** Bytes of a packed model. */
export interface PackedSizes {
  /** Of all tensors. */
  readonly bytes: number;
  /** Of the quantized weights, scales included. */
  readonly quantizedBytes: number;
  /** Number of quantized weights. */
  readonly quantizedWeights: number;
  /** Storage per quantized weight, scales included. */
  readonly bitsPerWeight: number;
}

/** Measures the tensors of a packed model. `bitsPerWeight` is NaN where none is quantized. */
export function packedSizes({ tensors }: Gguf): PackedSizes {
  const all = [...tensors.values()];
  const quantized = all.filter(({ type }) => packedFormatOf(type));
  const sum = (list: readonly GgufTensor[]) => list.reduce((total, { bytes }) => total + bytes.length, 0);
  const weights = quantized.reduce((total, { shape }) => total + shape.reduce((product, length) => product * length, 1), 0);
  return {
    bytes: sum(all),
    quantizedBytes: sum(quantized),
    quantizedWeights: weights,
    bitsPerWeight: 8 * sum(quantized) / weights,
  };
}
