/**
 * Configuration of an experiment: that of a run, whose `quantize` phase every arm goes through, and a section of its own.
 *
 * @module
 */

import * as v from "valibot";
import { arms } from "../experiment/arms.ts";
import type { ExperimentSettings } from "../experiment/settings.ts";
import { between, count, positive, readConfig, resolveConfig, type RunConfig, section } from "./config.ts";
import { didYouMean, UsageError } from "./errors.ts";

const experimentSchema = section({
  /** Peak learning rates of arms that have one of their own, by arm; the others take `quantize.learningRate`. */
  learningRates: v.optional(v.record(v.string(), positive()), {}),
  /** Quantized arms learn from the base too; absent: they do not. */
  distillation: v.optional(section({
    /** Share of the divergence from the base's predictions in the loss. */
    weight: v.optional(between(0, 1), 0.5),
    temperature: v.optional(positive(), 1),
    /** Likeliest tokens that count; all where absent. */
    topK: v.optional(count()),
  })),
  /** Points of the curves of held-out loss and of weight statistics. */
  points: v.optional(count(), 8),
  /** Batches behind a point. */
  curveBatches: v.optional(count(), 4),
  cost: v.optional(
    section({
      /** Tokens of the steps that are timed. */
      tokens: v.optional(v.array(count()), [512]),
      /** Turns that each arm takes. */
      rounds: v.optional(count(), 4),
    }),
    {},
  ),
});

/** A configuration with every default filled in. */
export interface ExperimentConfig extends RunConfig {
  readonly experiment: v.InferOutput<typeof experimentSchema>;
}

/** Distillation as typed on the command line. */
export interface DistillationFlags {
  readonly distill?: number;
  readonly distillTemperature?: number;
  readonly distillTopK?: number;
}

/**
 * Reads the configuration file of an experiment.
 *
 * @throws {UsageError} As `loadConfig` does, and for an arm that there is not.
 */
export async function loadExperimentConfig(path: string): Promise<ExperimentConfig> {
  const value = await readConfig(path);
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const { experiment = {}, ...run } = (isObject ? value : {}) as Record<string, unknown>;
  const config = resolveConfig(isObject ? run : value, path);
  const result = v.safeParse(experimentSchema, experiment, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new UsageError(`${path}: ${["experiment", v.getDotPath(issue)].filter(Boolean).join(".")} ${issue.message}`);
  }
  const names = arms.map(({ name }) => name);
  const unknown = Object.keys(result.output.learningRates).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `${path}: experiment.learningRates.${unknown} is not an arm${didYouMean(unknown, names)}; there are ${names.join(", ")}`,
    );
  }
  return { ...config, experiment: result.output };
}

/** A configuration with the distillation of the command line; its temperature and topK need a weight, there or in the file. */
export function withDistillation(config: ExperimentConfig, flags: DistillationFlags): ExperimentConfig {
  const { distill: weight, distillTemperature: temperature, distillTopK: topK } = flags;
  const typed = Object.fromEntries(Object.entries({ weight, temperature, topK }).filter(([, value]) => value !== undefined));
  if (Object.keys(typed).length === 0) return config;
  const own = config.experiment.distillation;
  if (!own && weight === undefined) throw new UsageError("--distill-temperature and --distill-top-k need --distill WEIGHT");
  const distillation = { weight: 0.5, temperature: 1, ...own, ...typed };
  return { ...config, experiment: { ...config.experiment, distillation } };
}

/** What the experiment is given of a configuration. */
export function settingsOf(config: ExperimentConfig): ExperimentSettings {
  const { data, model: { initializerRange: deviation, ...model }, batchSize, sequenceLength, quantize, experiment, calibration } =
    config;
  const { compressRatio, annealRatio, annealStyle: style, endTemperature, hardSteps, groupSize, scaleDtype } = quantize;
  const { distillation, learningRates, points, curveBatches } = experiment;
  return {
    corpus: data.corpus,
    heldOutFraction: data.heldOutFraction,
    model: { ...model, maxPositions: sequenceLength },
    deviation,
    batchSize,
    sequenceLength,
    pretrain: phaseSettings(config, config.pretrain),
    calibration: { probes: calibration.probes, batches: calibration.batches, kappa: calibration.kappa },
    arm: {
      ...phaseSettings(config, quantize),
      annealing: { compressRatio, annealRatio, style, endTemperature, hardSteps },
      groupSize,
      ...(scaleDtype === "float16" ? { scaleDtype } : {}),
    },
    learningRates,
    ...(distillation ? { distillation } : {}),
    evaluation: { batches: config.evaluation.batches, curveBatches, points },
  };
}

function phaseSettings({ optimizer }: RunConfig, phase: RunConfig["pretrain"]): ExperimentSettings["pretrain"] {
  const { steps, learningRate, warmupSteps, decayRatio, minLearningRateRatio: minRatio, style } = phase;
  return { steps, learningRate, schedule: { style, warmupSteps, decayRatio, minRatio }, optimizer };
}
