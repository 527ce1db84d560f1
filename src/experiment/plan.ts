/**
 * How long an experiment will take, before it begins.
 *
 * @module
 */

import { initialModel } from "../llama/parameters.ts";
import { train } from "../pipeline/train.ts";
import { batches } from "../train/data.ts";
import { disposeAll } from "../train/trainer.ts";
import { baseTitle, hasBase } from "./base.ts";
import { armSettings, armTitle } from "./run.ts";
import { curvaturesOf, type Experiment } from "./settings.ts";
import type { Store } from "./store.ts";

/** Of training steps, in units of one in full precision: a batch that is only evaluated, and the probes of a calibration. */
const evaluationCost = 0.4;
const probeCosts = { hessian: 3.5, "gauss-newton": 1 } as const;

/** What arms cost over full precision, evaluation on the way aside, and what is not counted at all. */
const allowance = 1.1;

/** A part of an experiment that has to be run. */
export interface Part {
  /** As the log is told of its training. */
  readonly title: string;
  /** Steps in full precision that cost about as much as all of it. */
  readonly cost: number;
}

/** What is not stored yet, in the order in which it is run. */
export async function partsLeft(experiment: Experiment, store: Store): Promise<Part[]> {
  const { settings: { pretrain, arm, calibration, evaluation }, seeds, arms } = experiment;
  const parts: Part[] = [];
  for (const seed of seeds) {
    if (!await hasBase(seed, experiment, store)) {
      const probes = curvaturesOf(experiment).reduce((sum, curvature) => sum + probeCosts[curvature] * calibration.probes, 0);
      parts.push({ title: baseTitle(seed), cost: pretrain.steps + evaluationCost * evaluation.batches + probes });
    }
    for (const each of arms) {
      if (await store.has(`seed-${seed}/${each.name}`, armSettings(each, experiment))) continue;
      const onTheWay = each.untrained ? 0 : arm.steps + evaluationCost * evaluation.curveBatches * evaluation.points;
      parts.push({ title: armTitle(seed, each), cost: onTheWay + evaluationCost * evaluation.batches });
    }
  }
  return parts;
}

/** Seconds that parts will take, by a few steps that are timed; 0 where there are none. */
export async function secondsLeft(experiment: Experiment, parts: readonly Part[]): Promise<number> {
  const steps = parts.reduce((sum, { cost }) => sum + cost, 0);
  return steps === 0 ? 0 : allowance * steps * await secondsOfStep(experiment);
}

/** Wall time of a step in full precision: the second bundle that `train` reads, since the first compiles. */
async function secondsOfStep({ settings, tokens: text }: Experiment): Promise<number> {
  const { batchSize, sequenceLength, model: sizes, deviation, pretrain } = settings;
  const model = initialModel(sizes, { seed: 1, deviation });
  const data = batches(text.training, { batchSize, sequenceLength, seed: 1 });
  let seconds = 0;
  for await (const event of train(model, data, { ...pretrain, steps: 9, learningRate: 1e-4 })) {
    if (event.type === "step") seconds = batchSize * sequenceLength / event.tokensPerSecond;
  }
  disposeAll(model.parameters);
  return seconds;
}
