/**
 * Codes and scales of a model's weights, as a packed format is given them.
 *
 * @module
 */

import { partName, partsOf } from "../core/names.ts";
import { checkOptions, whole } from "../core/options.ts";
import { sizeOf } from "../core/shape.ts";
import { tensor } from "../create.ts";
import { requireFinite } from "../finite.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { downloaded } from "../llama/transfer.ts";
import { parameterShapes } from "../llama/parameters.ts";
import type { PackedFormat, TernaryMatrix } from "../pack/format.ts";
import { mergeScales } from "../pack/groups.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { rulesOf } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { asTernary, refuseFinerGroups } from "./already_ternary.ts";

/** How weights become what a format holds. */
export interface Fitting {
  /** The format they are packed in. */
  readonly format: PackedFormat;
  /** How they are rounded, for a model that does not say. */
  readonly quantization?: Quantization;
  /** Whether scales of finer groups than the format holds may be merged. */
  readonly allowLoss?: boolean;
  readonly onProgress?: PackingProgress;
}

/** Told of every tensor that is packed: weights so far, and in all. */
export type PackingProgress = (weights: number, of: number) => void;

/** What is to be called with the name of every parameter once it is packed, so that `onProgress` is told. */
export function packingCounter(config: LlamaConfig, onProgress: PackingProgress | undefined): (name: string) => void {
  const sizes = Object.fromEntries(Object.entries(parameterShapes(config)).map(([name, shape]) => [name, sizeOf(shape)]));
  const all = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  let done = 0;
  return (name) => onProgress?.(done += sizes[name], all);
}

/** The quantization that a model is packed with. Throws a `RangeError` where neither it nor the caller names one. */
export function packedQuantization(model: LanguageModel, quantization: Quantization | undefined): Quantization {
  const chosen = quantization ?? model.quantization;
  if (chosen) {
    quantizerNamed(chosen.quantizer);
    checkOptions("Cannot pack with the", { groupSize: chosen.groupSize ?? NaN }, { groupSize: whole(-1) });
    rulesOf("weights", chosen);
    return chosen;
  }
  throw new RangeError(
    'Cannot pack a model in full precision: wanted the option quantization, such as { quantizer: "ternary", groupSize: 128 }',
  );
}

/**
 * The matrix of a quantized weight. Weights that are ternary already are taken as they are, whatever the model says of itself: rounding
 * them once more would shrink their scales.
 *
 * @throws RangeError where a quantizer gives no integers times scales
 */
export async function ternaryMatrix(
  model: LanguageModel,
  name: string,
  { format, quantization: given, allowLoss = false }: Fitting,
): Promise<TernaryMatrix> {
  const quantization = packedQuantization(model, given);
  const weight = model.parameters[name];
  const kept = await asTernary(weight, quantization.groupSize);
  if (!kept) await refuseFinerGroups(weight, quantization.groupSize, `Cannot pack "${name}"`);
  const own = { ...quantization, parameters: partsOf(quantization.parameters ?? {}, name) };
  const matrix = kept ?? await quantized(weight, own, name);
  const fits = format.holdsExactly(matrix.groupSize) || !allowLoss;
  return fits ? matrix : mergeScales(matrix, format.finestGroup);
}

async function quantized(
  weight: Tensor,
  { quantizer: name, ...state }: Quantization,
  tensorName: string,
): Promise<TernaryMatrix> {
  const quantizer = quantizerNamed(name);
  if (!quantizer.codes) throw new RangeError(`Cannot pack weights quantized by "${name}": they are no integers times scales`);
  refuseBias(name);
  const { codes, scales } = quantizer.codes(weight, state);
  const [codeData, scaleData] = await Promise.all([codes.data(), scales.data()]);
  [codes, scales].forEach((tensor) => tensor.dispose());
  const learned = Object.entries(state.parameters ?? {}).map(([part, value]) => [partName(tensorName, part), value]);
  // asked by itself: within one program it would change the order in which scales are summed, and so their last bit
  await requireFinite(Object.fromEntries([[tensorName, weight], ...learned]), "pack");
  const [rows, columns] = weight.shape;
  return { codes: Int8Array.from(codeData), scales: Float32Array.from(scaleData), rows, columns, groupSize: state.groupSize };
}

/** Throws a `RangeError` where the quantizer of this name adds biases to the linear maps. */
export function refuseBias(name: string): void {
  if (!quantizerNamed(name).bias) return;
  throw new RangeError(`Cannot pack weights quantized by "${name}": the file has no place for its biases`);
}

/** Bytes of a parameter that is not quantized. Throws a RangeError that names it where a value is NaN, infinite, or too large for half precision. */
export async function* parameterPieces(
  parameter: Tensor,
  { name, dtype, order }: { readonly name: string; readonly dtype: "float32" | "float16"; readonly order?: Uint32Array },
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  await requireFinite({ [name]: parameter }, "pack");
  yield* downloaded(order ? parameter.gather(tensor(order)) : parameter, { dtype, action: halfAction(name) });
}

/** What cannot be done with a parameter that half precision does not hold. */
export function halfAction(name: string): string {
  return `Cannot pack "${name}" in half precision`;
}

/** Bytes of a packed model. */
export interface PackedSizes {
  /** Of all tensors. */
  readonly bytes: number;
  /** Of the linear maps of the layers, scales included. */
  readonly quantizedBytes: number;
  /** Number of their weights. */
  readonly quantizedWeights: number;
  /** Storage of each, scales included. */
  readonly bitsPerWeight: number;
}

/** Sums up stored tensors. `weights` is 0 for what is not of a linear map of a layer, and for scales stored apart. */
export function sumSizes(
  tensors: Iterable<{ readonly bytes: number; readonly weights: number; readonly isQuantized: boolean }>,
): PackedSizes {
  let [all, quantizedBytes, quantizedWeights] = [0, 0, 0];
  for (const { bytes, weights, isQuantized } of tensors) {
    all += bytes;
    if (isQuantized) [quantizedBytes, quantizedWeights] = [quantizedBytes + bytes, quantizedWeights + weights];
  }
  return { bytes: all, quantizedBytes, quantizedWeights, bitsPerWeight: 8 * quantizedBytes / quantizedWeights };
}
