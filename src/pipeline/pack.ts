/**
 * A quantized Llama model as one file.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { checkOptions, oneOf } from "../core/options.ts";
import { joinBytes } from "../io/bytes.ts";
import { ggufStream } from "../io/gguf_writer.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import { type PackedFormatName, packedFormats } from "../pack/formats.ts";
import { denseChunks } from "./pack_dense.ts";
import { ggufOf } from "./pack_gguf.ts";

/** How a model is packed. */
export interface PackOptions {
  /**
   * Format of the quantized weights. "q2_0" by default, which holds groups of 64, 128, …, channels and whole tensors exactly; "f16" holds
   * any weights, rounded to half precision. "dense" gives a safetensors file of our own, all others GGUF.
   */
  readonly format?: Exclude<PackedFormatName, "bitnet"> | "f16";
  /** How weights are rounded, for a model that does not say; it is then rounded without training. "f16" does not round. */
  readonly quantization?: Quantization;
  /** Format of the embedding and the head; "f16" by default. "q8_0" is for GGUF, and rows that are multiples of 32. */
  readonly embeddings?: "f16" | "q8_0";
  /** Merge the scales of groups that are finer than the format holds, instead of refusing; false by default. */
  readonly allowLoss?: boolean;
  /** What people call the model. */
  readonly name?: string;
  /** Told of every tensor that is packed: weights so far, and in all. */
  readonly onProgress?: (weights: number, of: number) => void;
}

/**
 * Bytes of a file: the linear maps of the layers as codes and scales of the model's quantizer, embedding and head in half precision,
 * norms in float32, and the tokenizer. llama.cpp reads the formats q2_0, tq2_0, tq1_0, q4_0 and f16. Weights that are ternary already
 * are packed as they are.
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
  return joinBytes(await Array.fromAsync(chunks(model, options)));
}

/**
 * Writes the file of {@linkcode pack}, whole or not at all. GGUF is packed and written a tensor at a time, so that a model larger than
 * memory should hold twice is packed beside itself; the packed weights of a dense file are held until it is written.
 *
 * @throws RangeError as {@linkcode pack}; Error that names the file where it cannot be written, and leaves an older one as it was
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, openGgufFile, packFile } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 64 }, { seed: 1 });
 * const path = await Deno.makeTempFile({ suffix: ".gguf" });
 * await packFile(path, { ...model, tokenizer: byteTokenizer }, { quantization: { quantizer: "ternary", groupSize: 64 } });
 * using file = await openGgufFile(path);
 * console.log(file.tensors.size); // 11
 * await Deno.remove(path);
 * ```
 */
export async function packFile(path: string, model: LanguageModel, options: PackOptions = {}): Promise<void> {
  await writeFileAtomic(path, chunks(model, options));
}

async function* chunks(model: LanguageModel, options: PackOptions): AsyncGenerator<Uint8Array> {
  const { format = "q2_0", embeddings = "f16" } = options;
  checkOptions("Cannot pack with the", { format, embeddings }, {
    format: oneOf(...Object.keys(packedFormats).filter((name) => name !== "bitnet"), "dense", "f16"),
    embeddings: oneOf("f16", "q8_0"),
  });
  if (format === "dense") {
    if (embeddings !== "f16") throw new RangeError(`Cannot pack embeddings as ${embeddings} in a dense file: wanted f16`);
    return yield* await denseChunks(model, options);
  }
  const blocks = format === "f16" ? undefined : packedFormats[format];
  const { metadata, tensors } = ggufOf(model, { ...options, embeddings, format: blocks });
  yield* ggufStream(metadata, tensors);
}
