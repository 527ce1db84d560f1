/**
 * What is predicted in training, and what the loss is divided by.
 *
 * @module
 */

import { tensor } from "../create.ts";
import { type ObjectiveRules, type RuleOptions, rulesOf } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { type Batch, ignoredTarget } from "../train/data.ts";
import { tokenTensors } from "./data.ts";

/** Settings of the objective. Rules that are not given are those of the recipe. */
export interface ObjectiveOptions extends RuleOptions<ObjectiveRules> {
  /** Tokens that end a document; none by default. A batch that says itself which targets count keeps them as targets. */
  readonly endTokens?: readonly number[];
}

/** A step's batch in pieces, with what the loss of each is multiplied by. */
export interface WeighedBatch {
  readonly batch: readonly Readonly<Record<string, Tensor>>[];
  /** The mean loss over the predicted tokens, times this, is what is trained by. */
  readonly lossShare: number;
}

/** Label of a target that does not count. */
const ignored = -100;

/**
 * Pieces of a batch as tensors. Where not every piece counts as what it is, each has a `weight`: with it the average over the pieces is the sum of
 * all cross-entropies over the divisor, however many targets of each piece count. A piece in which none does is left out.
 *
 * @throws RangeError where there is nothing to predict
 */
export function weighedPieces(pieces: readonly Batch[], options: ObjectiveOptions): WeighedBatch {
  const { endTargets, divisor } = rulesOf("objective", options);
  const isTold = pieces.some(({ targets }) => targets.includes(ignoredTarget));
  const ends = new Set(endTargets === "ignored" && !isTold ? options.endTokens : []);
  if (ends.size === 0 && divisor === "predicted" && !isTold) return { batch: pieces.map(tokenTensors), lossShare: 1 };
  const counted = pieces.map((piece) => ({ piece, ...countLabels(piece, ends) }));
  const predicted = counted.reduce((sum, each) => sum + each.predicted, 0);
  const items = divisor === "predicted" ? predicted : counted.reduce((sum, each) => sum + each.labels, 0);
  const learned = counted.filter(({ predicted: own }) => own > 0);
  if (learned.length === 0) {
    throw new RangeError("Cannot train on a batch in which every target is ignored: wanted one to predict");
  }
  const batch = learned.map(({ piece, predicted: own }) => {
    const weighed = { ...tokenTensors(piece), weight: tensor(own * learned.length / items) };
    if (ends.size === 0 && own === piece.targets.length) return weighed;
    const kept = Int32Array.from(piece.targets, (target) => target === ignoredTarget || ends.has(target) ? ignored : target);
    weighed.targets.dispose();
    return { ...weighed, targets: tensor(kept, { shape: piece.shape }) };
  });
  return { batch, lossShare: predicted / items };
}

/** A piece's mean loss times its weight, where it has one. */
export function weighed(loss: Tensor, batch: Readonly<Record<string, Tensor>>): Tensor {
  return batch.weight ? loss.mul(batch.weight) : loss;
}

/** Targets that count, and labels that do before they are shifted: the first token of each sequence is one of them. */
export function countLabels(
  { inputs, targets, shape: [rows, length] }: Batch,
  ends: ReadonlySet<number>,
): { readonly predicted: number; readonly labels: number } {
  const predicted = targets.reduce((count, target) => count + Number(target !== ignoredTarget && !ends.has(target)), 0);
  let labels = predicted;
  for (let row = 0; row < rows; row++) labels += Number(!ends.has(inputs[row * length]));
  return { predicted, labels };
}
