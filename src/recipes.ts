/**
 * The two releases of the Hestia method, each as one record of what it computes. Whoever takes a `recipe` takes each field by itself too,
 * so that a choice that differs from both releases has a name and is no silent difference.
 *
 * @module
 */

import { atCaller } from "./core/errors.ts";
import { checkOptions, finite, flag, notNegative, oneOf, type OptionRule, positive } from "./core/options.ts";

/** A release of the method: its code as published in 2026, or the anonymous code of 2025. */
export type RecipeName = "hestia-2026" | "hestia-2025";

/** What is used where nobody asks for another. */
export const defaultRecipe: RecipeName = "hestia-2026";

/** How a weight becomes codes and scales. */
export interface WeightRules {
  /** Scale of a group: "offset" is the mean magnitude plus `scaleEpsilon`, "clamped" the larger of the two. */
  readonly scaleRule: "offset" | "clamped";
  /** Above 0, so that a group of zeros divides by something. */
  readonly scaleEpsilon: number;
  /** Whether gradients flow through the scale; otherwise it counts as a constant. */
  readonly scaleGradient: boolean;
  /** Code of a weight in the middle of two: the lower one, or the one nearer to zero (half to even, for ternary codes). */
  readonly tieRule: "lower" | "zero";
  /** Added to each temperature in the softmax. */
  readonly temperatureOffset: number;
  /** Whether straight-through baselines too mix in quantized weights by the pressure of the schedule; otherwise they round from step 0. */
  readonly baselinePressure: boolean;
}

/** How Hessian traces become factors of temperatures. */
export interface GuidanceRules {
  /** Strength: the factor of a tensor is exp(±alpha score), with the sign that `sensitive` says. */
  readonly alpha: number;
  /** Whether a tensor of high curvature keeps a higher temperature, exp(+alpha score), or a lower one. */
  readonly sensitive: "hotter" | "cooler";
  /** Slope of the score at an average curvature. */
  readonly kappa: number;
  /** Smaller traces count as this one. */
  readonly minimumTrace: number;
  /** Whose traces make mean and deviation: those of the quantized tensors, or all that were measured, an output head's too. */
  readonly statistics: "quantized" | "all";
}

/** How pressure and temperature go. */
export interface AnnealingRules {
  /** Temperature of the first step, in units of the squared scale. */
  readonly initialTemperature: number;
  /** Share of the soft steps in which pressure rises to 1. */
  readonly compressRatio: number;
  /** Share of the soft steps, the last ones, in which temperature falls; undefined: all after the pressure has risen. */
  readonly annealRatio: number | undefined;
  /** Shape of the fall. */
  readonly style: "cosine" | "linear";
}

/** How the learning rate goes, where the style is `wsd` and the settings are shares of the steps. */
export interface ScheduleRules {
  /** Whether the warm-up begins at the multiplier zero, or at the one that the schedule ends with. */
  readonly warmupStart: "minimum" | "zero";
  /** How a warm-up that is given as a share of the steps is made whole. Decays are rounded down. */
  readonly warmupRounding: "up" | "down";
  /** Whether a decay that would begin within the warm-up begins after it; otherwise the rate jumps to where the decay has come. */
  readonly decayAfterWarmup: boolean;
}

/** What is predicted, and what the loss is divided by. */
export interface ObjectiveRules {
  /** Whether tokens that end a document count as targets. */
  readonly endTargets: "ignored" | "predicted";
  /**
   * "predicted": the loss is the mean over the predicted tokens. "labels": the gradient is that of the sum over the number of labels before
   * they are shifted, one more for each sequence.
   */
  readonly divisor: "labels" | "predicted";
}

/** How the Hessian is measured. */
export interface CalibrationRules {
  /** Traces are those of the Hessian of the loss. */
  readonly curvature: "hessian";
  /** Hutch++ of each tensor by itself. */
  readonly estimator: "hutch++";
  /** Columns of the sketch, at most the elements of a tensor. */
  readonly sketch: number;
  /** Probes of what the sketch leaves. */
  readonly queries: number;
  /** Batches whose losses count equally. */
  readonly batches: number;
  /** Sequences in one of them. */
  readonly batchSize: number;
  /** Tokens of a sequence at most. */
  readonly sequenceLength: number;
  /** Whether tokens that end a document count as targets in calibration. */
  readonly endTargets: "ignored" | "predicted";
}

/** One release. */
export interface Recipe {
  /** As it is asked for. */
  readonly name: RecipeName;
  /** One line for people. */
  readonly summary: string;
  /** How a weight becomes codes and scales. */
  readonly weights: WeightRules;
  /** How Hessian traces become factors of temperatures. */
  readonly guidance: GuidanceRules;
  /** How pressure and temperature go. */
  readonly annealing: AnnealingRules;
  /** How the learning rate goes. */
  readonly schedule: ScheduleRules;
  /** What is predicted, and what the loss is divided by. */
  readonly objective: ObjectiveRules;
  /** Regular expressions: a parameter whose name in small letters contains a match is not decayed. */
  readonly undecayed: readonly string[];
  /** How the Hessian is measured. */
  readonly calibration: CalibrationRules;
}

/** Norms and biases. */
const undecayed = ["bias", "layernorm", "rmsnorm", "(^|\\.)norm($|\\.)", "_norm($|\\.)"];

const calibration = {
  curvature: "hessian",
  estimator: "hutch++",
  sketch: 10,
  queries: 20,
  batches: 5,
  batchSize: 1,
  sequenceLength: 512,
} as const;

/**
 * Every recipe by name.
 *
 * @example
 * ```ts
 * import { recipes } from "@hestia/hestia";
 * console.log(recipes["hestia-2026"].annealing.initialTemperature, recipes["hestia-2025"].weights.scaleRule); // 0.3, clamped
 * ```
 */
export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  "hestia-2026": {
    name: "hestia-2026",
    summary: "The code of the authors' release of 2026",
    weights: {
      scaleRule: "offset",
      scaleEpsilon: 1e-5,
      scaleGradient: false,
      tieRule: "lower",
      temperatureOffset: 0,
      baselinePressure: true,
    },
    guidance: { alpha: 0.4, sensitive: "hotter", kappa: 1, minimumTrace: 1e-12, statistics: "quantized" },
    annealing: { initialTemperature: 0.3, compressRatio: 0.2, annealRatio: undefined, style: "cosine" },
    schedule: { warmupStart: "minimum", warmupRounding: "up", decayAfterWarmup: false },
    objective: { endTargets: "ignored", divisor: "labels" },
    undecayed,
    calibration: { ...calibration, endTargets: "predicted" },
  },
  "hestia-2025": {
    name: "hestia-2025",
    summary: "The anonymous code of 2025",
    weights: {
      scaleRule: "clamped",
      scaleEpsilon: 1e-5,
      scaleGradient: true,
      tieRule: "zero",
      temperatureOffset: 1e-6,
      baselinePressure: false,
    },
    guidance: { alpha: 0.5, sensitive: "cooler", kappa: 1, minimumTrace: 1e-8, statistics: "all" },
    annealing: { initialTemperature: 0.3508855607, compressRatio: 0.2, annealRatio: 0.8, style: "cosine" },
    schedule: { warmupStart: "zero", warmupRounding: "down", decayAfterWarmup: true },
    objective: { endTargets: "ignored", divisor: "predicted" },
    undecayed,
    calibration: { ...calibration, endTargets: "ignored" },
  },
};

/** Every name, for messages and commands. */
export const recipeNames = Object.keys(recipes) as readonly RecipeName[];

/** The recipe of a name. Throws a RangeError that lists the names there are. */
export function recipeNamed(name: string = defaultRecipe): Recipe {
  if (Object.hasOwn(recipes, name)) return recipes[name as RecipeName];
  throw atCaller(new RangeError(`Cannot follow the recipe "${name}": wanted one of ${recipeNames.join(", ")}`));
}

/** A recipe's rules with those in their place that are given. */
export type RuleOptions<Rules> = Partial<Rules> & {
  /** Where rules come from that are not given; "hestia-2026" by default. */
  readonly recipe?: RecipeName;
};

/** Whether weight decay acts on the parameter of a name. */
export function isDecayed(name: string, undecayed: readonly string[] = recipes[defaultRecipe].undecayed): boolean {
  return !undecayed.some((pattern) => new RegExp(pattern).test(name.toLowerCase()));
}

type Section = "weights" | "guidance" | "annealing" | "schedule" | "objective";

/** What rules may be; those of annealing are checked with its other settings. */
const ruleRules: { readonly [S in Section]?: { readonly [K in keyof Recipe[S]]: OptionRule } } = {
  weights: {
    scaleRule: oneOf("offset", "clamped"),
    scaleEpsilon: positive,
    scaleGradient: flag,
    tieRule: oneOf("lower", "zero"),
    temperatureOffset: notNegative,
    baselinePressure: flag,
  },
  guidance: {
    alpha: finite,
    sensitive: oneOf("hotter", "cooler"),
    kappa: finite,
    minimumTrace: positive,
    statistics: oneOf("quantized", "all"),
  },
  schedule: { warmupStart: oneOf("minimum", "zero"), warmupRounding: oneOf("up", "down"), decayAfterWarmup: flag },
  objective: { endTargets: oneOf("ignored", "predicted"), divisor: oneOf("labels", "predicted") },
};

/** The rules of one section of a recipe, with those in their place that `options` give. What else is among the options is left out. */
export function rulesOf<S extends Section>(section: S, options: RuleOptions<Recipe[S]>): Recipe[S] {
  const { recipe, ...given } = givenRules(section, options);
  checkOptions<Partial<Recipe[S]>>("Cannot follow the rule", given as Partial<Recipe[S]>, ruleRules[section] ?? {});
  return { ...recipeNamed(recipe)[section], ...given };
}

/** What options say of one section: the recipe and the rules that they name. What else is among the options is left out. */
export function givenRules<S extends Section>(section: S, options: RuleOptions<Recipe[S]>): RuleOptions<Recipe[S]> {
  const fields = ["recipe", ...Object.keys(recipes[defaultRecipe][section])];
  const given = Object.entries(options).filter(([field, value]) => value !== undefined && fields.includes(field));
  return Object.fromEntries(given) as RuleOptions<Recipe[S]>;
}

/** The recipe that options follow, and those of their rules that differ from it: all there is to store. */
export function differingRules<S extends Section>(section: S, options: RuleOptions<Recipe[S]>): RuleOptions<Recipe[S]> {
  const { name: recipe, [section]: rules } = recipeNamed(options.recipe);
  const differing = Object.entries(givenRules(section, options)).filter(([field, value]) =>
    rules[field as keyof Recipe[S]] !== value
  );
  return { ...Object.fromEntries(differing), recipe } as RuleOptions<Recipe[S]>;
}
