/**
 * Cases of the release of 2026: schedules, scores, names and files.
 *
 * @module
 */

import { learningRateMultiplier, type ScheduleOptions, scheduleStyles } from "../optim/schedule.ts";
import { annealing } from "../quant/annealing.ts";
import { scaleOfScore, temperatureScales } from "../quant/guidance.ts";
import { codebookOf, isQuantizable, releaseConfig, releaseConfigText, tracedName, tracesFromText } from "../release.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { recipe } from "./release_quantizers.ts";
import { oneOf } from "./schedules.ts";

const range = (length: number) => Array.from({ length }, (_, index) => index);

/** Compares two things that JSON can say, letter by letter: 1 where they are the same. */
export function sameJson(role: string, got: unknown, wanted: unknown): Computed {
  return { role, value: [Number(JSON.stringify(got) === JSON.stringify(wanted))], expected: [1] };
}

/** `hestia2_schedule`: pressure and temperature, also beyond the end. */
export function scheduleCase(recorded: Case): Computed[] {
  const schedule = annealing({
    recipe,
    totalSteps: recorded.number("total_steps"),
    compressRatio: recorded.number("compress_ratio"),
    initialTemperature: recorded.number("init_temp"),
  });
  const states = range(recorded.expected("pressure").values.length).map((step) => schedule.at(step));
  return [
    { role: "pressure", value: states.map(({ pressure }) => pressure) },
    { role: "temperature", value: states.map(({ temperature }) => temperature) },
  ];
}

/** `hestia2_tensor_temperature`: the temperature of tensors whose sensitivity is known, or not. */
export function tensorTemperatureCase(recorded: Case): Computed[] {
  const scores = recorded.parameter("sensitivity") as (number | null)[];
  const alpha = recorded.number("alpha");
  const base = recorded.number("base_temperature");
  const value = scores.map((score) => base * scaleOfScore(score ?? undefined, { recipe, alpha }));
  return [{ role: "temperature", value }];
}

/** `hestia2_scores`: from traces to scores. The offset of the deviation is the same in both releases. */
export function scoresCase(recorded: Case): Computed[] {
  const traces = Object.fromEntries(Array.from(recorded.values("traces"), (trace, index) => [`tensor ${index}`, trace]));
  const options = { recipe, kappa: recorded.number("kappa"), minimumTrace: recorded.number("min_trace") };
  const value = Object.values(temperatureScales(traces, options).scores);
  return [{ role: "scores", value }];
}

/** `hestia2_apply_sensitivity`: from traces by name, some missing and some of others, to temperatures at some steps. */
export function applySensitivityCase(recorded: Case): Computed[] {
  const names = recorded.texts("layers");
  const { scores, temperatureScales: scales, missing } = temperatureScales(recorded.object<Record<string, number>>("traces"), {
    recipe,
    names,
    kappa: recorded.number("kappa"),
    alpha: recorded.number("alpha"),
  });
  const schedule = annealing({
    recipe,
    totalSteps: recorded.number("total_steps"),
    compressRatio: recorded.number("compress_ratio"),
    initialTemperature: recorded.number("init_temp"),
  });
  const steps = recorded.parameter("steps") as number[];
  const temperatures = steps.map((step) => names.map((name) => schedule.at(step, { scale: scales[name] }).temperature));
  const wanted = recorded.parameter("sensitivity") as (number | null)[];
  return [
    sameJson("missing", missing, recorded.texts("missing")),
    { role: "sensitivity", value: names.map((name) => scores[name] ?? -1), expected: wanted.map((score) => score ?? -1) },
    { role: "temperature", value: temperatures.flat() },
    { role: "temperature_min", value: temperatures.map((each) => Math.min(...each)) },
    { role: "temperature_max", value: temperatures.map((each) => Math.max(...each)) },
    { role: "pressure", value: steps.map((step) => schedule.at(step).pressure) },
  ];
}

/** Names of styles in the release that differ from ours. */
const renamed: Readonly<Record<string, string>> = { warmup_stable_decay: "wsd", constant_with_warmup: "constant" };

/**
 * A learning-rate schedule of the release. Only `wsd` has a smallest multiplier; the other styles of its trainer rise from zero and end there,
 * and what it calls `constant` has no warm-up.
 */
export function recordedSchedule(recorded: Case, totalSteps: number, styleField: string): ScheduleOptions {
  const named = String(recorded.parameter(styleField));
  const style = oneOf(recorded, renamed[named] ?? named, scheduleStyles);
  const { num_decay_steps: decaySteps, min_lr_ratio: least } =
    recorded.parameter("lr_scheduler_kwargs") as Record<string, number> | undefined ?? {};
  const given = recorded.number("warmup_steps", 0);
  return {
    recipe,
    style,
    totalSteps,
    minRatio: style === "wsd" ? least ?? recorded.number("wsd_min_lr_ratio") : 0,
    decayRatio: recorded.number("wsd_decay_ratio"),
    ...(decaySteps === undefined ? {} : { decaySteps }),
    ...(named === "constant"
      ? { warmupSteps: 0 }
      : given > 0
      ? { warmupSteps: given }
      : { warmupRatio: recorded.number("warmup_ratio") }),
  };
}

/** `hestia2_lr`: multipliers of the learning rate. */
export function releaseLearningRateCase(recorded: Case): Computed[] {
  const options = recordedSchedule(recorded, recorded.number("total"), "style");
  return [{ role: "lr", value: range(options.totalSteps).map((step) => learningRateMultiplier(step, options)) }];
}

/** `hestia2_quantizable`: which linear maps are replaced. */
export function quantizableCase(recorded: Case): Computed[] {
  const shapes = recorded.parameter("shapes") as Record<string, number[]> | undefined ?? {};
  const config = releaseConfig({
    skip_modules: recorded.texts("skip_modules"),
    codebook: String(recorded.parameter("codebook")),
  });
  const names = recorded.texts("modules").filter((name) => isQuantizable(name, config, shapes[name]));
  return [sameJson("names", names, recorded.texts("names"))];
}

/** `hestia2_trace_keys`: names from the keys of files of traces. */
export function traceKeysCase(recorded: Case): Computed[] {
  return [sameJson("names", recorded.texts("keys").map(tracedName), recorded.texts("names"))];
}

/** `hestia2_trace_json`: a file of traces. */
export function traceFileCase(recorded: Case): Computed[] {
  return [sameJson("traces", tracesFromText(String(recorded.parameter("text"))), recorded.object("traces"))];
}

/** `hestia2_config_json`: a configuration, as it is written, and as it is read again. */
export function configFileCase(recorded: Case): Computed[] {
  const text = String(recorded.parameter("text"));
  const config = releaseConfig(recorded.object("set"));
  return [
    sameJson("text", releaseConfigText(config), text),
    sameJson("read", releaseConfig(JSON.parse(text)), config),
    { role: "codebook_values", value: codebookOf(config.codebook), expected: recorded.parameter("codebook_values") as number[] },
  ];
}
