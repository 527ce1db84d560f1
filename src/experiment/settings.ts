/**
 * What an experiment is told.
 *
 * @module
 */

import type { NewLlamaConfig } from "../llama/parameters.ts";
import type { Curvature } from "../pipeline/calibrate.ts";
import type { TrainOptions } from "../pipeline/train.ts";
import type { GuidanceOptions } from "../quant/guidance.ts";
import { givenRules, type GuidanceRules, type RecipeName, type RuleOptions, type WeightRules } from "../recipes.ts";
import type { TrainingLog } from "../train/log.ts";
import type { Arm } from "./arms.ts";

/** Settings of a phase of training that a file can hold. */
export type PhaseSettings = Pick<
  TrainOptions,
  "steps" | "learningRate" | "schedule" | "optimizer" | "undecayed" | "objective" | "recipe"
>;

/** What results depend on, besides arm and seed. */
export interface ExperimentSettings {
  /** Where rules come from that nothing else says. */
  readonly recipe: RecipeName;
  /** Name of the text. */
  readonly corpus: string;
  readonly heldOutFraction: number;
  readonly model: NewLlamaConfig;
  /** Standard deviation of the first weights. */
  readonly deviation: number;
  readonly batchSize: number;
  readonly sequenceLength: number;
  /** Training of the base, in full precision; without steps the base is the random model, and arms train from scratch. */
  readonly pretrain: PhaseSettings;
  readonly calibration: {
    readonly curvature: Curvature;
    readonly probes: number;
    readonly batches: number;
  } & Pick<GuidanceRules, "kappa" | "sensitive" | "minimumTrace">;
  /** Training of every arm. */
  readonly arm:
    & PhaseSettings
    & RuleOptions<WeightRules>
    & Pick<TrainOptions, "annealing" | "scaleDtype">
    & { readonly groupSize: number };
  /** Peak learning rates of arms that have one of their own, by arm. */
  readonly learningRates: Readonly<Record<string, number>>;
  /** Quantized arms learn from the base's predictions too. */
  readonly distillation?: { readonly weight: number; readonly temperature: number; readonly topK?: number };
  readonly evaluation: {
    /** Batches of held-out text behind a final loss. */
    readonly batches: number;
    /** Batches behind a point of the curve. */
    readonly curveBatches: number;
    /** Points of the curves. */
    readonly points: number;
  };
}

/** An experiment: its settings, what is run, and with what. */
export interface Experiment {
  readonly settings: ExperimentSettings;
  readonly arms: readonly Arm[];
  readonly seeds: readonly number[];
  readonly tokens: { readonly training: ArrayLike<number>; readonly heldOut: ArrayLike<number> };
  readonly log: TrainingLog;
  /** Takes a line about what is no training. */
  readonly tell: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Options of `train` for one arm, all but what depends on the seed. */
export function armOptions(arm: Arm, settings: ExperimentSettings): TrainOptions & { readonly groupSize: number } {
  const { learningRates } = settings;
  const shared = arm.recipe ? following(arm.recipe, settings.arm) : settings.arm;
  return {
    ...shared,
    ...arm.weights,
    quantizer: arm.quantizer,
    groupSize: arm.groupSize ?? shared.groupSize,
    learningRate: arm.learningRate ?? learningRates[arm.name] ?? shared.learningRate,
    annealing: { ...shared.annealing, ...arm.annealing },
  };
}

/** The settings of all arms with nothing left of what a recipe says by itself. */
function following(recipe: RecipeName, shared: ExperimentSettings["arm"]): ExperimentSettings["arm"] {
  const without = <Values extends object>(values: Values, rules: object) =>
    Object.fromEntries(Object.entries(values).filter(([field]) => !Object.hasOwn(rules, field))) as Partial<Values>;
  const { schedule, annealing, objective: _, undecayed: __, ...rest } = shared;
  return {
    ...without(rest, givenRules("weights", shared)),
    steps: shared.steps,
    groupSize: shared.groupSize,
    recipe,
    schedule: without(schedule ?? {}, givenRules("schedule", schedule ?? {})),
    annealing: without(annealing ?? {}, givenRules("annealing", annealing ?? {})),
  };
}

/** How scores become temperatures in an arm. */
export function guidanceOf({ alpha, recipe }: Arm, { calibration, ...settings }: ExperimentSettings): GuidanceOptions {
  const { sensitive } = calibration;
  return recipe ? { recipe, alpha } : { recipe: settings.recipe, sensitive, alpha };
}

/** What guides the temperatures of an arm. */
export function curvatureOf({ curvature }: Arm, { calibration }: ExperimentSettings): Curvature {
  return curvature ?? calibration.curvature;
}

/** What the arms of an experiment need of a calibration. */
export function curvaturesOf({ arms, settings }: Pick<Experiment, "arms" | "settings">): readonly Curvature[] {
  return [...new Set(arms.filter(({ alpha }) => alpha !== undefined).map((arm) => curvatureOf(arm, settings)))];
}
