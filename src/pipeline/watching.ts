/**
 * All that looks at a model while it is trained, and what ends the training early.
 *
 * @module
 */

import type { LlamaModel } from "../llama/model.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import type { TrainingState } from "../train/trainer.ts";
import { heldOutPoints } from "./held_out_points.ts";
import { tensorStatistics } from "./tensor_statistics.ts";
import type { TrainedModel, TrainOptions } from "./train.ts";

/** What the trainer is given. */
export interface Watching {
  /** Ends the training: the signal of the options, or patience that is at its end. */
  readonly signal?: AbortSignal;
  /** Sees the state after each step; absent where nobody looks. */
  readonly observe?: (state: TrainingState) => Promise<void>;
  /** Sees the state before the first step. */
  readonly begin?: (state: TrainingState) => Promise<void>;
}

/**
 * Observers of a training. `modelOf` gives the latent model of a state.
 *
 * @throws RangeError where a plan cannot be followed
 */
export function watching(
  model: LlamaModel,
  quantizer: Quantizer,
  options: TrainOptions,
  modelOf: (state: TrainingState) => TrainedModel,
): Watching {
  const { observe, heldOut, statistics, signal } = options;
  const points = heldOut && heldOutPoints(heldOut, options);
  const statisticsAfter = statistics && tensorStatistics(statistics, model, quantizer, options);
  if (!observe && !points && !statisticsAfter) return { signal };
  const ending = new AbortController();
  const endIfExhausted = (step: number) => points?.isExhausted(step) && ending.abort();
  return {
    async begin(state) {
      await points?.before(state, modelOf(state));
      endIfExhausted(state.step);
    },
    signal: heldOut?.patience === undefined ? signal : AbortSignal.any([ending.signal, ...signal ? [signal] : []]),
    async observe(state) {
      await observe?.({ step: state.step, model: modelOf(state) });
      await statisticsAfter?.(state);
      await points?.after(state, modelOf(state));
      endIfExhausted(state.step);
    },
  };
}
