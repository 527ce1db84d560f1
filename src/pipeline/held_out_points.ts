/**
 * Held-out loss while a model is trained: of the model as it would ship now, beside that of its latent weights.
 *
 * @module
 */

import type { LlamaModel } from "../llama/model.ts";
import { disposeAll, type TrainingState } from "../train/trainer.ts";
import { type EvaluatedText, type EvaluationOptions, heldOutLoss } from "./evaluate.ts";
import { roundedModel } from "./rounded.ts";
import type { TrainedModel } from "./train.ts";

/**
 * When a model in training is measured, on what, and when that ends the training. An evaluation takes 4 bytes of device memory for each
 * quantized weight while it lasts: the rounded weights.
 */
export interface HeldOutPlan extends Pick<EvaluationOptions, "batchSize" | "sequenceLength" | "maxBatches"> {
  /** Optimizer steps between two evaluations, at least 1; the last step is always followed by one. */
  readonly everySteps: number;
  /** Text that is not trained on, as `heldOutLoss` takes it; or a function that gives it anew each time, for what can be read once. */
  readonly text: EvaluatedText | (() => EvaluatedText | Promise<EvaluatedText>);
  /** Ends the training once so many evaluations in a row were no better than the best one; never by default. */
  readonly patience?: number;
  /** The best one so far, for a training that goes on. */
  readonly best?: HeldOutBest;
  /**
   * The step of the last one, for a training that goes on; that which it goes on behind by default. An earlier one where it was ended before
   * it was measured: then that comes first.
   */
  readonly measured?: number;
}

/** The step whose model was best on held-out text. */
export interface HeldOutBest {
  /** Counted from 1. */
  readonly step: number;
  /** Of the model as it would ship. */
  readonly lossNats: number;
}

/** What is known of a model after some step. */
export interface HeldOutPoint extends HeldOutBest {
  /** Held-out loss of the latent weights, unrounded; absent where nothing is quantized. */
  readonly latentLossNats?: number;
  /** The best one so far, this one included. */
  readonly best: HeldOutBest;
  /** The model as it would ship. Its tensors are freed or overwritten once the promise of `onEvaluation` resolves. */
  readonly model: LlamaModel;
  /** What `saveState` keeps: read it before the promise of `onEvaluation` resolves. */
  readonly state: TrainingState;
}

/** Measures a model after those steps that a plan names. */
export interface HeldOutPoints {
  /** Does nothing after a step that is not due. `model` is that of the latent weights. */
  after(state: TrainingState, model: TrainedModel): Promise<void>;
  /** Measures a model that a training goes on from, where that is still to be done. */
  before(state: TrainingState, model: TrainedModel): Promise<void>;
  /** Whether the plan's patience is at its end after a step. */
  isExhausted(step: number): boolean;
}

/** @throws RangeError where a number of the plan is not at least 1 */
export function heldOutPoints(
  plan: HeldOutPlan,
  { steps, signal, onEvaluation }: {
    readonly steps: number;
    readonly signal?: AbortSignal;
    readonly onEvaluation?: (point: HeldOutPoint) => Promise<void> | void;
  },
): HeldOutPoints {
  const { everySteps, text, patience = Infinity, best: earlier, ...size } = plan;
  if (!(Number.isInteger(everySteps) && everySteps >= 1 && patience >= 1)) {
    throw new RangeError(
      `Cannot evaluate every ${everySteps} steps with a patience of ${patience}: wanted whole steps and at least 1 of each`,
    );
  }
  let best = earlier;
  const measure = async (model: LlamaModel) => {
    const now = typeof text === "function" ? await text() : text;
    return (await heldOutLoss(model, now, { ...size, signal })).lossNats;
  };
  const points: HeldOutPoints = {
    async before(state, latent) {
      if (state.step > (plan.measured ?? state.step)) await points.after(state, latent);
    },
    isExhausted: (step) => best !== undefined && step - best.step >= patience * everySteps,
    async after(state, latent) {
      const { step } = state;
      if (signal?.aborted || step % everySteps !== 0 && step !== steps) return;
      const shipped = roundedModel(latent);
      try {
        const lossNats = await measure(shipped);
        const latentLoss = latent.quantization ? { latentLossNats: await measure(latent) } : {};
        if (best === undefined || lossNats < best.lossNats) best = { step, lossNats };
        await onEvaluation?.({ step, lossNats, ...latentLoss, best, model: shipped, state });
      } catch (error) {
        if (!signal?.aborted) throw error; // the training ends after the step at hand
      } finally {
        disposeAll(Object.values(shipped.parameters).filter((value) => !Object.values(latent.parameters).includes(value)));
      }
    },
  };
  return points;
}
