/**
 * Models whose weights are ternary already: rounding them once more would shrink their scales.
 *
 * @module
 */

import { tensor } from "../create.ts";
import type { LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import type { TernaryMatrix } from "../pack/format.ts";
import { alreadyTernary } from "../pack/groups.ts";
import type { Tensor } from "../tensor.ts";

/** Group sizes that weights are tried with, the coarsest first. */
const likelyGroups = [0, -1, 256, 128, 64, 32];

/** Codes and scales of a matrix that is ternary in such groups; undefined where it is not. Of one that is not, a row is read and no more. */
export async function asTernary(weight: Tensor, groupSize: number): Promise<TernaryMatrix | undefined> {
  const [rows, columns] = weight.shape;
  if (groupSize > 0 && columns % groupSize !== 0) return undefined; // the quantizer says what is wrong
  const row = weight.gather(tensor(Uint32Array.of(0)));
  const first = alreadyTernary(await row.data(), { rows: 1, columns, groupSize });
  row.dispose();
  return first && alreadyTernary(await weight.data(), { rows, columns, groupSize });
}

/**
 * Throws a RangeError where a matrix that is not ternary in groups of one size is so in smaller ones: rounded anew, it would be another.
 */
export async function refuseFinerGroups(weight: Tensor, groupSize: number, action: string): Promise<void> {
  const columns = weight.shape[1];
  const length = groupSize > 0 ? groupSize : columns;
  const finer = likelyGroups.filter((size) =>
    size < length && columns % Math.abs(size) === 0 && (size > 0 || size === -1 && groupSize === 0)
  );
  for (const size of finer) {
    if (!await asTernary(weight, size)) continue;
    throw new RangeError(
      `${action}: its weights are ternary already, in groups of ${size}, and rounding them once more in groups of ${groupSize} would ` +
        `change them; wanted groupSize ${size}`,
    );
  }
}

/**
 * The coarsest of the usual group sizes in which all weights of the layers' linear maps are ternary; undefined where some are not.
 *
 * @example
 * ```ts
 * import { initialModel, roundedModel, ternaryGroupSize } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const rounded = roundedModel({ ...model, quantization: { quantizer: "ternary", groupSize: -1 } });
 * console.log(await ternaryGroupSize(model), await ternaryGroupSize(rounded)); // undefined, -1
 * ```
 */
export async function ternaryGroupSize({ config, parameters }: LlamaModel): Promise<number | undefined> {
  let candidates = likelyGroups;
  for (const name of quantizedNames(config)) {
    const fitting: number[] = [];
    for (const groupSize of candidates) if (await asTernary(parameters[name], groupSize)) fitting.push(groupSize);
    candidates = fitting;
    if (candidates.length === 0) return undefined;
  }
  return candidates[0];
}
