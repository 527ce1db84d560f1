/**
 * Configuration of an experiment: that of a run, whose `quantize` phase every arm goes through, and a section of its own.
 *
 * @module
 */

import * as v from "valibot";
import { type Arm, armNamed, arms, baselineArm, defaultArms } from "../experiment/arms.ts";
import type { ExperimentSettings } from "../experiment/settings.ts";
import { curvatures } from "../pipeline/calibrate.ts";
import { annealingStyles } from "../quant/annealing.ts";
import { overrideConfig, readConfig, resolveConfig, type RunConfig, weightFields } from "./config.ts";
import { didYouMean, UsageError } from "./errors.ts";
import { between, count, finite, notNegative, oneOf, positive, section, text } from "./fields.ts";
import { givenRules, recipeNames } from "../recipes.ts";
import { annealingOptions, phaseOptions, weightOptions } from "./phase_options.ts";

/** Names become names of files. */
const variantName = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9.-]*$/, "must be named in lower-case letters, digits, . and -"));

/** An arm that differs from another one in settings. */
const variantSchema = section({
  /** The arm that it is a variant of. */
  of: text(),
  /** As people read it. */
  label: text(),
  /** That of the other arm by default. */
  learningRate: v.optional(positive()),
  alpha: v.optional(finite()),
  curvature: v.optional(oneOf(curvatures)),
  /** Follows a release in all that its recipe says. */
  recipe: v.optional(oneOf(recipeNames as readonly ["hestia-2026", "hestia-2025"])),
  ...weightFields,
  initialTemperature: v.optional(positive()),
  compressRatio: v.optional(between(0, 1)),
  annealRatio: v.optional(between(0, 1)),
  annealStyle: v.optional(oneOf(annealingStyles)),
  endTemperature: v.optional(notNegative()),
  hardSteps: v.optional(count(0)),
});

const experimentSchema = section({
  /** What runs where the command line names no arms. */
  arms: v.optional(v.array(text()), [...defaultArms]),
  /** What the other arms are compared with, seed by seed. */
  baseline: v.optional(text(), baselineArm),
  /** Arms of this configuration alone, by name. */
  variants: v.optional(v.record(variantName, variantSchema), {}),
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
  const foreign = config.data.sources ? "data.sources" : "path" in config.model ? "model.path" : undefined;
  if (foreign !== undefined) {
    throw new UsageError(
      `${path}: ${foreign} is for deno task train; an experiment trains bases of its own on data.corpus, the path of a text file`,
    );
  }
  const result = v.safeParse(experimentSchema, experiment, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new UsageError(`${path}: ${["experiment", v.getDotPath(issue)].filter(Boolean).join(".")} ${issue.message}`);
  }
  const whole = { ...config, experiment: result.output };
  checkNames(whole, path);
  return whole;
}

function checkNames(
  { experiment: { learningRates, variants, arms: chosen, baseline }, quantize }: ExperimentConfig,
  path: string,
): void {
  const [own, all] = [arms, [...arms, ...Object.keys(variants).map((name) => ({ name }))]].map((list) =>
    list.map(({ name }) => name)
  );
  const uses: (readonly [where: string, name: string, names: readonly string[]])[] = [
    ...Object.entries(variants).map(([name, { of }]) => [`variants.${name}.of: ${of}`, of, own] as const),
    ...Object.keys(learningRates).map((name) => [`learningRates.${name}`, name, own] as const),
    [`baseline: ${baseline}`, baseline, all],
    ...chosen.map((name) => [`arms: ${name}`, name, all] as const),
  ];
  const wrong = uses.find(([, name, names]) => !names.includes(name));
  if (wrong) {
    const [where, name, names] = wrong;
    throw new UsageError(`${path}: experiment.${where} is not an arm${didYouMean(name, names)}; there are ${names.join(", ")}`);
  }
  const taken = Object.keys(variants).find((name) => own.includes(name));
  if (taken) throw new UsageError(`${path}: experiment.variants.${taken} is an arm already: wanted another name`);
  const long = Object.entries(variants).find(([, { hardSteps = 0 }]) => hardSteps >= quantize.steps);
  if (long) {
    const [name, { hardSteps }] = long;
    throw new UsageError(
      `${path}: experiment.variants.${name}.hardSteps must be below quantize.steps, got ${hardSteps} and ${quantize.steps}`,
    );
  }
}

/** Every arm that may be asked for: those of the table, then the variants of the configuration. */
export function armsOf({ experiment: { variants, learningRates } }: ExperimentConfig): readonly Arm[] {
  const variantArm = ([name, variant]: [string, v.InferOutput<typeof variantSchema>]): Arm => {
    const { of, label, learningRate = learningRates[of], alpha, curvature, recipe, annealStyle: style } = variant;
    const { initialTemperature, compressRatio, annealRatio, endTemperature, hardSteps } = variant;
    const times = { style, initialTemperature, compressRatio, annealRatio, endTemperature, hardSteps };
    const { recipe: _, ...rules } = givenRules("weights", variant);
    const [annealing, own] = [times, { learningRate, alpha, curvature, recipe }].map(known);
    const parts = Object.entries({ annealing, weights: rules }).filter(([, part]) => Object.keys(part).length > 0);
    return { ...armNamed(of), ...own, name, label, ...Object.fromEntries(parts) };
  };
  return [...arms, ...Object.entries(variants).map(variantArm)];
}

/** Without what is undefined. */
const known = (values: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** A configuration whose phases of training are cut to so many steps, and the hard steps of variants with them. */
export function shortened(config: ExperimentConfig, maxSteps?: number): ExperimentConfig {
  const cut = overrideConfig(config, { maxSteps });
  const share = cut.quantize.steps / config.quantize.steps;
  const variants = Object.entries(config.experiment.variants).map(([name, { hardSteps, ...variant }]) =>
    [name, hardSteps === undefined ? variant : { ...variant, hardSteps: Math.floor(share * hardSteps) }] as const
  );
  return { ...cut, experiment: { ...config.experiment, variants: Object.fromEntries(variants) } };
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
  const { data, batchSize, sequenceLength, quantize, experiment, calibration } = config;
  if ("path" in config.model) {
    throw new UsageError("an experiment trains its bases itself: wanted the sizes of model, got model.path");
  }
  const { initializerRange: deviation, ...model } = config.model;
  const { distillation, learningRates, points, curveBatches } = experiment;
  return {
    recipe: config.recipe,
    corpus: data.corpus,
    heldOutFraction: data.heldOutFraction,
    model: { ...model, maxPositions: sequenceLength },
    deviation,
    batchSize,
    sequenceLength,
    pretrain: phaseOptions(config, config.pretrain),
    calibration: {
      curvature: calibration.curvature,
      probes: calibration.probes,
      batches: calibration.batches,
      kappa: calibration.kappa,
      sensitive: calibration.sensitive,
      minimumTrace: calibration.minimumTrace,
    },
    arm: { ...phaseOptions(config, quantize), ...weightOptions(config), annealing: annealingOptions(config) },
    learningRates,
    ...(distillation ? { distillation } : {}),
    evaluation: { batches: config.evaluation.batches, curveBatches, points },
  };
}
