/**
 * The tensors of a checkpoint: which there must be, which may be passed over, and what is refused.
 *
 * @module
 */

import { ownerOf } from "../core/names.ts";
import { sameShape, sizeOf } from "../core/shape.ts";
import { fieldNamed, type FieldTable, type ReadingOptions, refuseUnknown } from "../io/fields.ts";
import { elementBytes, tensorValues } from "../io/safetensors.ts";
import type { Checkpoint } from "../io/safetensors_file.ts";
import type { LlamaConfig } from "./config.ts";
import { parameterShapes, quantizedNames } from "./parameters.ts";
import type { StoredDType, StoredTensor } from "./transfer.ts";

/** The head's own tensor, which may lie in a checkpoint whose head is the embedding. */
export const tiedHead = "lm_head.weight";

/** Tensors that say nothing which `config.json` does not say. All others are parameters of the model, by their names and shapes. */
export const ignoredTensors: FieldTable = {
  "*rotary_emb.inv_freq": { means: "frequencies of the rotary embedding", ignored: "they follow from config.json" },
  "*rotary_emb.cos_cached": { means: "cosines of the rotary embedding", ignored: "they follow from config.json" },
  "*rotary_emb.sin_cached": { means: "sines of the rotary embedding", ignored: "they follow from config.json" },
};

/** A tensor of a checkpoint, to be read a piece at a time. */
export function storedTensor(checkpoint: Checkpoint, name: string): StoredTensor {
  const { dtype, shape } = checkpoint.tensors.get(name)!;
  return { dtype: dtype as StoredDType, shape, bytes: (start, length) => checkpoint.readBytes(name, start, length) };
}

/** Stored tensors that a quantizer learned. */
export function learnedNames({ tensors }: Checkpoint, config: LlamaConfig): string[] {
  const weights = new Set(quantizedNames(config));
  return [...tensors.keys()].filter((name) => weights.has(ownerOf(name) ?? ""));
}

/** Throws a RangeError that names the first tensor which is missing, of another shape or type, or not known. */
export function checkTensors(
  { tensors }: Checkpoint,
  config: LlamaConfig,
  { action, learned, ...reading }: ReadingOptions & { readonly action: string; readonly learned: readonly string[] },
): void {
  const wanted = parameterShapes(config);
  for (const [name, shape] of Object.entries(wanted)) {
    const stored = tensors.get(name);
    const fail = (got: string) => new RangeError(`${action}: wanted a float tensor "${name}" of [${shape}], ${got}`);
    if (!stored) throw fail("there is none");
    if (!sameShape(stored.shape, shape)) throw fail(`got [${stored.shape}]`);
    if (!["F64", "F32", "F16", "BF16"].includes(stored.dtype)) throw fail(`got ${stored.dtype}`);
  }
  const known = new Set([...Object.keys(wanted), ...learned, ...(config.tieEmbeddings ? [tiedHead] : [])]);
  const count = Object.keys(wanted).length;
  const model = `${count} of a ${config.family ?? "llama"} model of ${config.layers} layers`;
  for (const name of tensors.keys()) {
    if (known.has(name) || fieldNamed(ignoredTensors, name)) continue;
    refuseUnknown(`${action}: tensor "${name}" is not one of the ${model}`, reading);
  }
}

/** Bytes that are compared at once. */
const pieceBytes = 1 << 24;

/** Whether the head that is stored besides the embedding holds the same numbers. */
export async function isSameHead(checkpoint: Checkpoint): Promise<boolean> {
  const [head, embedding] = [tiedHead, "model.embed_tokens.weight"].map((name) => ({ name, ...checkpoint.tensors.get(name)! }));
  if (!sameShape(head.shape, embedding.shape)) return false;
  const elements = sizeOf(head.shape);
  const perPiece = pieceBytes / 8;
  for (let start = 0; start < elements; start += perPiece) {
    const count = Math.min(perPiece, elements - start);
    const read = async ({ name, dtype }: typeof head) => {
      const bytes = await checkpoint.readBytes(name, start * elementBytes[dtype], count * elementBytes[dtype]);
      return tensorValues({ dtype, shape: [count], bytes });
    };
    const [a, b] = [await read(head), await read(embedding)];
    if (a.some((value, index) => value !== b[index])) return false;
  }
  return true;
}
