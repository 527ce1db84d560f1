/**
 * A quantized Llama model as a GGUF file.
 *
 * @module
 */

import { bytesOf, viewAs } from "../io/bytes.ts";
import { float32ToQ8_0 } from "../io/ggml_floats.ts";
import { ggmlTypes } from "../io/ggml_types.ts";
import type { GgufFile, GgufMetadata, GgufSource } from "../io/gguf.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import { hestiaKeys } from "../llama/gguf_fields.ts";
import { llamaGgufMetadata, ropeFactors } from "../llama/gguf_metadata.ts";
import { ggufName, ggufRowOrder, ropeFactorsName } from "../llama/gguf_names.ts";
import { tokenizerGgufMetadata } from "../tokenizer/gguf_write.ts";
import { isBias, isNorm, parameterShapes, quantizedNames } from "../llama/parameters.ts";
import type { PackedFormat } from "../pack/format.ts";
import { reorderMatrix } from "../pack/groups.ts";
import { sizeOf } from "../core/shape.ts";
import { requireFinite } from "../finite.ts";
import { checkHalf, downloaded } from "../llama/transfer.ts";
import {
  halfAction,
  packedQuantization,
  type PackedSizes,
  packingCounter,
  type PackingProgress,
  parameterPieces,
  refuseBias,
  sumSizes,
  ternaryMatrix,
} from "./packed_weights.ts";
import { roundedModel } from "./rounded.ts";
import type { Tensor } from "../tensor.ts";

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
  readonly onProgress?: PackingProgress;
}

/** A GGUF file whose tensors are packed one at a time, when they are written: see `pack`. */
export function ggufOf(model: LanguageModel, options: GgufOptions): GgufContent {
  const { format, name, onProgress } = options;
  const quantization = format ? packedQuantization(model, options.quantization) : model.quantization;
  const metadata: GgufMetadata = {
    ...llamaGgufMetadata(model.config, { name }),
    ...tokenizerMetadata(model),
    ...(quantization ? quantizationMetadata(quantization) : {}),
  };
  const factors = ropeFactors(model.config);
  const rope: GgufSource | undefined = factors && { type: "F32", shape: [factors.length], pieces: () => [bytesOf(factors)] };
  const ternary = new Set(quantizedNames(model.config));
  const floats = format ? model : withoutBias(model);
  const packed = packingCounter(model.config, onProgress);
  const tensors = Object.keys(parameterShapes(model.config)).map((name) => {
    const source = format && ternary.has(name)
      ? ternarySource(model, name, { ...options, format })
      : floatSource(floats, name, options);
    const pieces = async function* () {
      yield* source.pieces();
      packed(name);
    };
    return [ggufName(name), { ...source, pieces }];
  });
  return { metadata, tensors: { ...(rope ? { [ropeFactorsName]: rope } : {}), ...Object.fromEntries(tensors) } };
}

/** What a GGUF file is written from. */
export interface GgufContent {
  readonly metadata: GgufMetadata;
  readonly tensors: Record<string, GgufSource>;
}

/** The model that a quantizer makes of its latent weights. Throws a `RangeError` where that has biases. */
function withoutBias(model: LanguageModel): LanguageModel {
  if (model.quantization) refuseBias(model.quantization.quantizer);
  return roundedModel(model);
}

function quantizationMetadata({ quantizer, groupSize }: Quantization): GgufMetadata {
  return {
    [hestiaKeys.quantizer]: { type: "string", value: quantizer },
    [hestiaKeys.groupSize]: { type: "int32", value: groupSize },
  };
}

function tokenizerMetadata({ config, tokenizer, beginToken, endTokens = [], chatTemplate }: LanguageModel): GgufMetadata {
  const { vocabularySize } = config;
  return tokenizerGgufMetadata(tokenizer.toJSON(), { vocabularySize, beginToken, endTokens, chatTemplate });
}

function ternarySource(
  model: LanguageModel,
  name: string,
  options: GgufOptions & { readonly format: PackedFormat },
): GgufSource {
  const order = ggufRowOrder(name, model.config);
  const pieces = async function* () {
    const matrix = await ternaryMatrix(model, name, options);
    yield options.format.pack(order ? reorderMatrix(matrix, order) : matrix);
  };
  return { type: options.format.ggmlType!, shape: parameterShapes(model.config)[name], pieces };
}

function floatSource({ config, parameters }: LanguageModel, name: string, { embeddings }: GgufOptions): GgufSource {
  const parameter = parameters[name];
  const { shape } = parameter;
  const order = ggufRowOrder(name, config);
  const isSmall = isNorm(name) || isBias(name);
  const isEmbedding = name.startsWith("model.embed_tokens") || name.startsWith("lm_head");
  if (isEmbedding && embeddings === "q8_0") return eightBits(parameter, name);
  return {
    type: isSmall ? "F32" : "F16",
    shape,
    pieces: () => parameterPieces(parameter, { name, order, dtype: isSmall ? "float32" : "float16" }),
  };
}

function eightBits(parameter: Tensor, name: string): GgufSource {
  const { blockLength } = ggmlTypes.Q8_0;
  const { shape } = parameter;
  if (shape[1] % blockLength !== 0) {
    throw new RangeError(`Cannot pack "${name}" as q8_0: columns must be a multiple of ${blockLength}, got ${shape[1]}`);
  }
  const pieces = async function* () {
    await requireFinite({ [name]: parameter }, "pack");
    await checkHalf(parameter, halfAction(name)); // of the scales
    for await (const piece of downloaded(parameter, { dtype: "float32", action: halfAction(name) })) {
      yield float32ToQ8_0(viewAs(piece, Float32Array<ArrayBuffer>));
    }
  };
  return { type: "Q8_0", shape, pieces };
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
