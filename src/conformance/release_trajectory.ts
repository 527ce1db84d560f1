/**
 * Cases of the release of 2026: whole training runs, by the library's own `train`.
 *
 * @module
 */

import { tensor } from "../create.ts";
import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import { llama, type LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { countLabels } from "../pipeline/objective.ts";
import { quantizedParameters, roundedModel } from "../pipeline/rounded.ts";
import { train, type TrainedModel, type TrainEvent, type TrainOptions } from "../pipeline/train.ts";
import { annealing } from "../quant/annealing.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { isDecayed } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import type { Batch } from "../train/data.ts";
import { batchOf } from "../train/documents.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { shiftedLoss } from "./llama.ts";
import { configOf, quantizedModules, type RecordedModel, recordedScales } from "./release_models.ts";
import { layerOf, recipe } from "./release_quantizers.ts";
import { recordedSchedule, sameJson } from "./release_schedules.ts";

type Step = Extract<TrainEvent, { type: "step" }>;

/** What a run is made of. */
interface Run {
  readonly model: LlamaModel;
  readonly options: TrainOptions;
  readonly batches: readonly Batch[];
  /** By the name of the weight. */
  readonly scales: Readonly<Record<string, number>>;
}

function runOf(recorded: Case): Run {
  const arm = recorded.object<RecordedModel & Record<string, unknown>>("arm");
  const plain = arm.plain === true;
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const parameters = recorded.inputsUnder("w.");
  const { quantizer, state: { groupSize } } = layerOf(arm);
  const { init_temp: initialTemperature, compress_ratio: compressRatio, codebook } = configOf(arm);
  const modules = quantizedModules(config, parameters, { skip_modules: recorded.texts("skip_modules"), codebook });
  const named = Object.entries(recordedScales(recorded, arm, modules)).map(([name, scale]) => [`${name}.weight`, scale]);
  const scales = Object.fromEntries(named);
  const [steps, pieces] = [recorded.number("steps"), recorded.number("accumulation")];
  const [beta1, beta2] = recorded.parameter("betas") as [number, number];
  const { totalSteps: _, ...schedule } = recordedSchedule(recorded, steps, "lr_style");
  const options: TrainOptions = {
    recipe,
    steps,
    quantizer: plain ? "none" : quantizer.name,
    groupSize,
    temperatureScales: scales,
    annealing: { initialTemperature, compressRatio },
    learningRate: recorded.number("lr"),
    schedule,
    optimizer: {
      beta1,
      beta2,
      epsilon: recorded.number("eps"),
      weightDecay: recorded.number("weight_decay"),
      clipNorm: recorded.number("max_grad_norm"),
    },
    objective: {
      divisor: recorded.parameter("divisor") === "predicted" ? "predicted" : "labels",
      endTokens: [recorded.number("eos")],
    },
    microBatches: pieces,
  };
  return { model: { config, parameters }, options, scales, batches: batchesOf(recorded, recorded.number("batch") * pieces) };
}

/** Recorded sequences, so many a step. */
function batchesOf(recorded: Case, rows: number): Batch[] {
  const [count, length] = recorded.input("tokens").shape;
  const tokens = Array.from(recorded.values("tokens"));
  const sequences = Array.from({ length: count }, (_, row) => tokens.slice(row * length, (row + 1) * length));
  return Array.from({ length: Math.floor(count / rows) }, (_, step) => batchOf(sequences.slice(step * rows, (step + 1) * rows)));
}

/** `hestia2_trajectory`: losses, gradient norms, learning rates, temperatures and final weights of a run. */
export async function releaseTrajectoryCase(recorded: Case, { float32 }: { readonly float32: boolean }): Promise<Computed[]> {
  const run = runOf(recorded);
  const steps: Step[] = [];
  let trained: TrainedModel | undefined;
  for await (const event of train(run.model, run.batches.slice(0, run.options.steps), run.options)) {
    if (event.type === "step") steps.push(event);
    else trained = { ...event.model, quantization: event.quantization };
  }
  // where rounding errors grow without bound, float32 is compared as far as they have not, and float64 to fewer digits
  const shown = Array.from(recorded.expected("float32_torch_abs_loss_error_by_step").values);
  const isChaotic = shown.some((error) => error > chaos);
  const compared = isChaotic && float32 ? shown.findIndex((error) => error > chaos) : steps.length;
  const ends = compared === steps.length ? endOf(recorded, run, trained!) : [];
  const curves = curvesOf(recorded, run, steps.slice(0, compared), isChaotic);
  const loose = (item: Computed): Computed => isChaotic ? { tolerance: "float32Arithmetic", ...item } : item;
  return [...labelsOf(recorded, run), ...schedulesOf(run, steps), ...[...curves, ...ends].map(loose)].filter(
    ({ role, expected }) => expected !== undefined || recorded.hasOutput(role),
  );
}

/** Error of a loss from which on a run counts as chaotic. */
const chaos = 1e-5;

/** Labels of each step, before and after the shift, and what is not decayed. */
function labelsOf(recorded: Case, { batches, options, model }: Run): Computed[] {
  const ends = new Set(options.objective?.endTokens);
  const counts = batches.slice(0, options.steps).map((batch) => countLabels(batch, ends));
  return [
    // what the loss is divided by
    { role: "items", value: counts.map(({ labels, predicted }) => options.objective?.divisor === "labels" ? labels : predicted) },
    { role: "predicted", value: counts.map(({ predicted }) => predicted) },
    sameJson(
      "no_decay",
      Object.keys(model.parameters).filter((name) => !isDecayed(name)).sort(),
      recorded.texts("no_decay").toSorted(),
    ),
  ];
}

/** Learning rates, pressures and temperatures: as the run told them, or by the schedule where it follows none. */
function schedulesOf({ options, scales }: Run, steps: readonly Step[]): Computed[] {
  const schedule = annealing({ recipe, ...options.annealing, totalSteps: options.steps });
  const factors = Object.values(scales);
  const mean = factors.reduce((sum, factor) => sum + factor, 0) / factors.length;
  const told = steps.map(({ pressure, temperature }, step) => ({
    pressure: pressure ?? schedule.at(step).pressure,
    temperature: temperature === undefined ? schedule.at(step).temperature : temperature / mean,
  }));
  const at = (factor: number) => told.map(({ temperature }) => temperature * factor);
  return [
    { role: "lr", value: steps.map(({ learningRate }) => learningRate) },
    { role: "pressure", value: told.map(({ pressure }) => pressure) },
    { role: "temperature", value: at(1) },
    { role: "temperature_min", value: at(Math.min(...factors)) },
    { role: "temperature_max", value: at(Math.max(...factors)) },
  ];
}

/** Losses and gradient norms. The release divides the loss by its own count, our steps tell the mean. */
function curvesOf(recorded: Case, { batches, options }: Run, steps: readonly Step[], isChaotic: boolean): Computed[] {
  const [items, predicted] = ["items", "predicted"].map((role) => recorded.expected(role).values);
  const share = (step: number) => options.objective?.divisor === "predicted" ? 1 : predicted[step] / items[step];
  const until = (role: string) => Array.from(recorded.expected(role).values).slice(0, steps.length);
  const partial = steps.length < Math.min(batches.length, options.steps)
    ? `${steps.length} of ${options.steps} steps`
    : undefined;
  const shown = recorded.expected("float32_torch_abs_loss_error_by_step").values;
  const error = Math.max(...Array.from(shown).slice(0, steps.length));
  const losses = steps.map(({ lossNats }, step) => lossNats * share(step));
  return [
    { role: "loss", value: losses, expected: until("loss"), float32Error: error, absolute: true, onDevice: true, partial },
    ...steps.map(({ gradientNorm, temperature }, step): Computed => ({
      role: "grad_norm",
      value: [gradientNorm],
      expected: [recorded.expected("grad_norm").values[step]],
      sensitivity: temperature ? 1 + 1 / temperature : 1,
      onDevice: true,
      partial,
      ...(isChaotic ? { tolerance: "chaos" } : {}),
    })),
  ];
}

/** The trained weights, and what they predict of other tokens. */
function endOf(recorded: Case, run: Run, trained: TrainedModel): Computed[] {
  const { parameters } = trained;
  const finals = Object.entries(parameters).map(([name, value]): Computed => ({
    role: `final.${name}`,
    value,
    deviceTolerance: "float32Training",
  }));
  const order = recorded.inputsUnder("w.");
  const ordered = Object.keys(order).map((name) => parameters[name]);
  const error = recorded.parameter("float32_torch_abs_val_error") as number | undefined;
  const val = { float32Error: error, absolute: true };
  return [
    ...finals,
    { role: "param_norms", value: ordered.map((value) => value.square().sum().sqrt()) },
    { role: "param_sums", value: ordered.map((value) => value.sum()), deviceTolerance: "float32Training" },
    { role: "val_loss_last_state", value: lossOf(recorded, lastState(run, trained)), ...val },
    { role: "val_loss_frozen", value: lossOf(recorded, roundedModel(trained)), ...val },
  ];
}

/** The model with weights as in the last step of training. */
function lastState({ options, scales }: Run, { config, parameters, quantization }: TrainedModel): LlamaModel {
  if (!quantization) return { config, parameters };
  const { quantizer, parameters: _, ...settings } = quantization;
  const schedule = annealing({ recipe, ...options.annealing, totalSteps: options.steps });
  const used = quantizedParameters(parameters, quantizerNamed(quantizer), quantizedNames(config), (name) => {
    const { temperature, pressure } = schedule.at(options.steps - 1, { scale: scales[name] });
    return { ...settings, temperature, pressure };
  });
  return { config, parameters: used };
}

/** Mean loss over the held-out sequences, with nothing ignored. */
function lossOf(recorded: Case, model: LlamaModel): Tensor {
  const { shape } = recorded.input("val_tokens");
  const ids = tensor(Array.from(recorded.values("val_tokens")), { shape, dtype: "int32" });
  return shiftedLoss(llama(model, ids), ids);
}
