/**
 * Drawing the next token where the logits are, so that ids need not be read back one by one.
 *
 * @module
 */

import { arange, randomBits } from "../create.ts";
import { isFinite } from "../finite.ts";
import { constant, type Tensor } from "../tensor.ts";

/** How the next token is drawn. Each combination of settings present and absent is a program of its own. */
export interface SampleOptions {
  /** Above 0: logits are divided by it. However small, it behaves as its limit: the likeliest token. */
  readonly temperature: Tensor | number;
  /** uint32 scalar; another one for each draw. */
  readonly seed: Tensor;
  /** Draw among the likeliest tokens, this many; more where the last ones tie. */
  readonly topK?: Tensor | number;
  /** Draw among the likeliest tokens that together have this probability. */
  readonly topP?: Tensor | number;
}

/** Index of the largest element of each row, the first where several tie: `[rows, columns]` to uint32 `[rows]`. */
export function argmax(x: Tensor): Tensor {
  const columns = x.shape[1];
  const isLargest = x.equal(x.max({ axes: 1, keepDims: true }));
  const fromEnd = arange(x.shape, { dtype: "float32" }).mul(-1).add(columns);
  return isLargest.where(fromEnd, 0).max({ axes: 1 }).mul(-1).add(columns).cast("uint32"); // `columns` where there is a NaN
}

/**
 * Draws a token of each row from softmax(logits / temperature), by the largest of logits plus Gumbel noise (Gumbel, 1954).
 *
 * @param logits `[rows, vocabulary]`
 * @returns uint32 `[rows]`; the size of the vocabulary for a row with a NaN, an infinity, or nothing but minus infinity
 */
export function sample(logits: Tensor, { temperature, seed, topK, topP }: SampleOptions): Tensor {
  const top = logits.max({ axes: 1, keepDims: true });
  const divisor = typeof temperature === "number" ? constant(temperature) : temperature;
  const scaled = logits.sub(top).div(divisor.maximum(leastTemperature)); // none is above 0, so that none overflows
  let keys = scaled.add(gumbelNoise(randomBits(logits.shape, { seed })));
  if (topK !== undefined) keys = keepAbove(keys, scaled, threshold(scaled, { mass: scaled.mul(0).add(1), wanted: topK }));
  if (topP !== undefined) keys = keepAbove(keys, scaled, threshold(scaled, { mass: scaled.softmax(), wanted: topP }));
  return whereFinite(top, argmax(keys), logits.shape[1]);
}

/** The likeliest token of each row: uint32 `[rows]`, as {@linkcode sample} gives it. */
export function likeliest(logits: Tensor): Tensor {
  return whereFinite(logits.max({ axes: 1, keepDims: true }), argmax(logits), logits.shape[1]);
}

/** Ids of rows whose largest logit is finite. */
function whereFinite(top: Tensor, ids: Tensor, otherwise: number): Tensor {
  return isFinite(top).reshape(ids.shape).where(ids, otherwise);
}

/** Below it only the likeliest token is ever drawn. */
const leastTemperature = 1e-30;

/**
 * Gumbel noise of random words: -log(-log u) with u in the middle of one of 2^23 parts of (0, 1). Always finite, also where a device's
 * logarithm of nearly one is zero: an infinite noise would draw a token however unlikely.
 */
export function gumbelNoise(words: Tensor): Tensor {
  return words.shiftRight(9).cast("float32").add(0.5).mul(2 ** -23).log().neg().maximum(2 ** -24).log().neg();
}

function keepAbove(keys: Tensor, values: Tensor, lowest: Tensor): Tensor {
  return lowest.lessEqual(values).where(keys, -1e30);
}

/** Halvings of the interval in which a threshold is searched: beyond them float32 tells no two values apart. */
const halvings = 26;

/** Logits this far below the largest count for nothing, in nats. */
const range = 40;

/** About the largest t of each row with Σ mass[values ≥ t] ≥ wanted, by bisection: no sorting. `[rows, 1]`. */
function threshold(values: Tensor, { mass, wanted }: { mass: Tensor; wanted: Tensor | number }): Tensor {
  let low = values.max({ axes: 1, keepDims: true }).sub(range);
  for (let step = 1; step <= halvings; step++) {
    const middle = low.add(range / 2 ** step);
    const above = middle.lessEqual(values).where(mass, 0).sum({ axes: 1, keepDims: true });
    low = above.less(wanted).where(low, middle);
  }
  return low;
}
