/**
 * Cases of what the host computes before and between steps.
 *
 * @module
 */

import { learningRateMultiplier, type ScheduleOptions, scheduleStyles } from "../optim/schedule.ts";
import { annealing, type AnnealingOptions, annealingStyles } from "../quant/annealing.ts";
import { temperatureScales } from "../quant/guidance.ts";
import { expectedError, optimalTemperature, softQuantize } from "../quant/temperature.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

/** An entry of `choices`, or an error that names the case. */
export function oneOf<T extends string>(recorded: Case, value: unknown, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new TypeError(`${recorded.name}: style ${JSON.stringify(value)} is not known`);
}

/**
 * A schedule as the recorded code computes it. Its `linear` and `cosine` styles apply a tensor's scale only before the temperature falls;
 * `hessian` is a cosine that keeps it, as every style of ours does.
 */
export function recordedAnnealing(recorded: Case, style: unknown, options: AnnealingOptions) {
  const schedule = annealing({
    recipe: "hestia-2025",
    ...options,
    style: style === "hessian" ? "cosine" : oneOf(recorded, style, annealingStyles),
  });
  const { totalSteps, annealRatio = 0.8 } = options;
  return (step: number, scale: number) =>
    schedule.at(step, { scale: style === "hessian" || step / totalSteps <= 1 - annealRatio ? scale : 1 });
}

/** `scheduler`: pressure and temperature. The recorded code ignores its end temperature. */
export function schedulerCase(recorded: Case): Computed[] {
  const totalSteps = recorded.number("total_steps");
  const at = recordedAnnealing(recorded, recorded.parameter("style"), {
    totalSteps,
    compressRatio: recorded.number("compress_ratio"),
    annealRatio: recorded.number("anneal_ratio"),
    initialTemperature: recorded.number("init_temp"),
  });
  const states = Array.from({ length: totalSteps + 1 }, (_, step) => at(step, recorded.number("temp_scale", 1)));
  return [
    { role: "pressure", value: states.map(({ pressure }) => pressure) },
    { role: "temp", value: states.map(({ temperature }) => temperature) },
  ];
}

/** `init_temp`: the temperature with the least expected error. */
export function initialTemperatureCase(recorded: Case): Computed[] {
  const [low, high] = recorded.parameter("bounds") as [number, number];
  const optimum = optimalTemperature({ bounds: [low, high] });
  const computed: Computed[] = [
    { role: "init_temp", value: [optimum], tolerance: "looseOptimum" },
    { role: "tight_optimum", value: [optimum], tolerance: "tightOptimum" },
    { role: "mse", value: Array.from(recorded.values("temps"), expectedError) },
    { role: "min_mse", value: [expectedError(optimum)] },
  ];
  return computed.filter(({ role }) => recorded.hasOutput(role));
}

/** `soft_quant_func`: the function whose error is expected. */
export function softQuantizeCase(recorded: Case): Computed[] {
  const temperature = recorded.number("temp");
  return [{ role: "q", value: Array.from(recorded.values("z"), (z) => softQuantize(z, { temperature })) }];
}

/** `temp_scales`: from traces to scales. */
export function temperatureScalesCase(recorded: Case): Computed[] {
  return [...guidanceOf(recorded, recorded.values("traces"))];
}

/** Scores and scales of traces, compared with those of the case. */
export function guidanceOf(recorded: Case, traces: ArrayLike<number>): Computed[] {
  const named = Object.fromEntries(Array.from(traces, (trace, index) => [`tensor ${index}`, trace]));
  const guidance = temperatureScales(named, {
    recipe: "hestia-2025",
    alpha: recorded.number("alpha"),
    kappa: recorded.number("kappa"),
  });
  const { log_mean: mean, log_std: deviation } = recorded.object<{ log_mean: number; log_std: number }>("stats");
  return [
    { role: "temp_scales", value: Object.values(guidance.temperatureScales) },
    { role: "scores", value: Object.values(guidance.scores) },
    { role: "stats.log_mean", value: [guidance.logMean], expected: [mean] },
    { role: "stats.log_std", value: [guidance.logDeviation], expected: [deviation] },
  ];
}

/** Names of styles in the recorded code that differ from ours. */
const renamed: Readonly<Record<string, string>> = { two_stage: "twoStage", custom: "twoStageLinear" };

/** Settings of a learning-rate schedule, by our name and the recorded one. */
const settings = {
  warmupSteps: "warmup",
  decayRatio: "wsd_ratio",
  minRatio: "min_lr_ratio",
  stageBoundary: "stage_boundary_ratio",
  firstScale: "first_stage_scale",
  secondScale: "second_stage_scale",
} as const satisfies Partial<Record<keyof ScheduleOptions, string>>;

/** `lr`: multipliers of the learning rate. */
export function learningRateCase(recorded: Case): Computed[] {
  const style = String(recorded.parameter("style"));
  const given = Object.entries(settings).filter(([, field]) => typeof recorded.parameter(field) === "number");
  const options: ScheduleOptions = {
    ...Object.fromEntries(given.map(([name, field]) => [name, recorded.number(field)])),
    recipe: "hestia-2025",
    totalSteps: recorded.number("total"),
    style: oneOf(recorded, renamed[style] ?? style, scheduleStyles),
  };
  return [{ role: "lr", value: Array.from({ length: options.totalSteps }, (_, step) => learningRateMultiplier(step, options)) }];
}
