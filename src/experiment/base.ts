/**
 * What the arms of one seed begin with: a model in full precision, and the curvature of its loss.
 *
 * @module
 */

import { loadCheckpoint, saveCheckpoint } from "../llama/checkpoint.ts";
import type { LlamaModel } from "../llama/model.ts";
import { initialModel } from "../llama/parameters.ts";
import { byteTokenizer } from "../tokenizer/bytes.ts";
import { calibrate, type Calibration, type Curvature, probeNames } from "../pipeline/calibrate.ts";
import { heldOutLoss } from "../pipeline/evaluate.ts";
import { train, type TrainedModel, type TrainEvent, type TrainOptions } from "../pipeline/train.ts";
import { batchAt, batches, seedFor } from "../train/data.ts";
import { type Histogram, weightHistogram } from "./weights.ts";
import type { Experiment, ExperimentSettings } from "./settings.ts";
import type { Store } from "./store.ts";

/** What is known of a base. */
export interface BaseResult {
  readonly seed: number;
  readonly heldOut: HeldOut;
  /** Loss of each step, in nats. */
  readonly trainingLosses: readonly number[];
  readonly histogram: Histogram;
}

/** Loss on text that was held out. */
export interface HeldOut {
  readonly lossNats: number;
  readonly perplexity: number;
}

/** A base and its model. */
export interface Base extends BaseResult {
  readonly model: LlamaModel;
}

/** The settings that the training of a base depends on. */
function baseSettings(
  { corpus, heldOutFraction, model, deviation, batchSize, sequenceLength, pretrain }: ExperimentSettings,
) {
  return { corpus, heldOutFraction, model, deviation, batchSize, sequenceLength, pretrain };
}

/** The base of a seed: from the store, or trained, measured and stored. */
export async function baseOf(seed: number, experiment: Experiment, store: Store): Promise<Base> {
  const { settings } = experiment;
  const { groupSize } = settings.arm;
  const { batches } = settings.evaluation;
  const folder = `${store.folder}/seed-${seed}/base`;
  let trained: LlamaModel | undefined;
  const { trainingLosses } = await store.result(`seed-${seed}/base`, baseSettings(settings), async () => {
    const initial = initialModel(settings.model, { seed, deviation: settings.deviation });
    const { model, steps } = await trainLogged(baseTitle(seed), initial, settings.pretrain, {
      ...experiment,
      seed: seedFor(seed, "pretrain"),
    });
    trained = model;
    await saveCheckpoint(folder, model, { tokenizer: byteTokenizer });
    return { trainingLosses: steps.map(({ lossNats }) => lossNats) };
  });
  const { config, parameters } = trained ?? await loadCheckpoint(folder);
  const model = { config, parameters };
  const measured = await store.result(
    `seed-${seed}/base-measured`,
    { ...baseSettings(settings), groupSize, batches },
    async () => ({
      heldOut: await heldOutOf(model, experiment, batches),
      histogram: await weightHistogram(model, { groupSize }),
    }),
  );
  return { seed, trainingLosses, ...measured, model };
}

/** What the training of a base is called. */
export const baseTitle = (seed: number): string => `seed ${seed}, base`;

/** Whether {@linkcode baseOf} would have to train. */
export async function hasBase(seed: number, { settings }: Experiment, store: Store): Promise<boolean> {
  return await store.has(`seed-${seed}/base`, baseSettings(settings));
}

/** Traces of a base: from the store, or measured and stored. Its temperature scales are those of the default alpha. */
export async function calibrationOf(
  base: Base,
  { settings, tokens, tell, signal, curvature }: Experiment & { readonly curvature: Curvature },
  store: Store,
): Promise<Calibration> {
  const { batchSize, sequenceLength, calibration } = settings;
  const { seed } = base;
  const own = { ...calibration, curvature };
  return await store.result(`seed-${seed}/calibration-${curvature}`, { ...baseSettings(settings), calibration: own }, () => {
    const data = Array.from(
      { length: calibration.batches },
      (_, step) => batchAt(tokens.training, { batchSize, sequenceLength, seed: seedFor(seed, "calibration"), step }),
    );
    const { probes, kappa, minimumTrace } = calibration;
    tell(`seed ${seed}, calibration · ${probes} ${probeNames[curvature]}`);
    return calibrate(base.model, data, { curvature, probes, kappa, minimumTrace, seed, signal });
  });
}

/** Mean loss over the first batches of the held-out text. */
export async function heldOutOf(model: LlamaModel, experiment: Experiment, maxBatches: number): Promise<HeldOut> {
  const { settings: { batchSize, sequenceLength }, tokens, signal } = experiment;
  const { lossNats, perplexity } = await heldOutLoss(model, tokens.heldOut, { batchSize, sequenceLength, maxBatches, signal });
  return { lossNats, perplexity };
}

/** Trains, and tells the log of it. Throws the signal's reason where it was ended. */
export async function trainLogged(
  title: string,
  start: LlamaModel,
  options: TrainOptions,
  { settings, tokens, log, signal, seed }: Experiment & { readonly seed: number },
): Promise<{ readonly model: TrainedModel; readonly steps: readonly StepEvent[] }> {
  const { batchSize, sequenceLength } = settings;
  const data = batches(tokens.training, { batchSize, sequenceLength, seed });
  const steps: StepEvent[] = [];
  let model: TrainedModel = start;
  log.begin(title, options.steps);
  for await (const event of train(start, data, { ...options, signal })) {
    if (event.type === "end") {
      model = { ...event.model, ...(event.quantization ? { quantization: event.quantization } : {}) };
    } else {
      const { type: _, ...metrics } = event;
      steps.push(event);
      log.step({ ...metrics, phase: title });
    }
  }
  log.end();
  signal?.throwIfAborted();
  return { model, steps };
}

/** What `train` tells of a step. */
export type StepEvent = Extract<TrainEvent, { type: "step" }>;
