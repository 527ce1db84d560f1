/**
 * A file of true Llama-3.2-1B shapes with random ternary weights: Q2_0, and embeddings in half precision, which llama.cpp reads too.
 *
 * @module
 */

import { byteTokenizer, type LlamaModel, type PackedModel, tensor } from "../../mod.ts";
import { writeFileAtomic } from "../../src/io/atomic.ts";
import { ggmlTypes } from "../../src/io/ggml_types.ts";
import type { GgufSource } from "../../src/io/gguf.ts";
import { ggufStream } from "../../src/io/gguf_writer.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { llamaGgufMetadata } from "../../src/llama/gguf_metadata.ts";
import { ggufName } from "../../src/llama/gguf_names.ts";
import { tokenizerGgufMetadata } from "../../src/tokenizer/gguf_write.ts";
import { isNorm, parameterShapes, quantizedNames } from "../../src/llama/parameters.ts";

/** Sizes of Llama-3.2-1B. */
export const oneBillion: LlamaConfig = {
  vocabularySize: 128_256,
  hiddenSize: 2048,
  layers: 16,
  heads: 32,
  keyValueHeads: 8,
  headDim: 64,
  intermediateSize: 8192,
  normEpsilon: 1e-5,
  ropeTheta: 500_000,
  tieEmbeddings: true,
  maxPositions: 4096,
};

/** Words that look random, always the same. */
function scrambledBytes(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** Blocks of 64 weights: a scale near 1/50, and codes 0 to 2. */
function ternaryBlocks(weights: number, seed: number): Uint8Array<ArrayBuffer> {
  const { blockBytes, blockLength } = ggmlTypes.Q2_0;
  const bytes = scrambledBytes(weights / blockLength * blockBytes, seed);
  for (let i = 0; i < bytes.length; i++) bytes[i] &= ~(bytes[i] << 1 & 0xaa); // 3 becomes 1
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += blockBytes) view.setFloat16(at, 0.02 + (at % 7) / 1000, true);
  return bytes;
}

/** Numbers of magnitude 2^-7 to 2^-5, of both signs. */
function halves(count: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = scrambledBytes(2 * count, seed);
  for (let i = 1; i < bytes.length; i += 2) bytes[i] = bytes[i] & 0x83 | 0x20 | (bytes[i] & 0x04);
  return bytes;
}

/** Writes the file. Its tokenizer knows bytes; all other ids are unused. */
export async function writeRandomModel(path: string, config: LlamaConfig): Promise<void> {
  const quantized = new Set(quantizedNames(config));
  const tensors: Record<string, GgufSource> = {};
  Object.entries(parameterShapes(config)).forEach(([name, shape], index) => {
    const size = shape.reduce((a, b) => a * b);
    const norm = () => new Uint8Array(new Float32Array(size).fill(1).buffer);
    tensors[ggufName(name)] = quantized.has(name)
      ? { type: "Q2_0", shape, pieces: () => [ternaryBlocks(size, index + 1)] }
      : isNorm(name)
      ? { type: "F32", shape, pieces: () => [norm()] }
      : { type: "F16", shape, pieces: () => [halves(size, index + 1)] };
  });
  const metadata = {
    ...llamaGgufMetadata(config, { name: "random" }),
    ...tokenizerGgufMetadata(byteTokenizer.toJSON(), { vocabularySize: config.vocabularySize, endTokens: [] }),
  };
  await writeFileAtomic(path, ggufStream(metadata, tensors));
}

/** The same model with float32 weights, and their bytes. */
export async function float32Copy({ config, parameters }: PackedModel): Promise<{ model: LlamaModel; bytes: number }> {
  const copied: Record<string, ReturnType<typeof tensor>> = {};
  let bytes = 0;
  for (const [name, parameter] of Object.entries(parameters)) {
    const values = Float32Array.from(await parameter.data());
    if (parameter.shape.length === 2) parameter.dispose(); // computed from what is packed
    bytes += values.byteLength;
    copied[name] = tensor(values, { shape: parameter.shape });
  }
  return { model: { config, parameters: copied }, bytes };
}
