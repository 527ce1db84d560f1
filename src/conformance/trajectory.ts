/**
 * Cases of whole training runs.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { tensor } from "../create.ts";
import { type HuggingFaceConfig, type LlamaConfig, llamaConfig } from "../llama/config.ts";
import { llama } from "../llama/model.ts";
import { isNorm, quantizedNames } from "../llama/parameters.ts";
import { adamw, initialMoments, type Moments } from "../optim/adamw.ts";
import { learningRateMultiplier } from "../optim/schedule.ts";
import { temperatureScaleOf } from "../quant/guidance.ts";
import { quantizedProject } from "../quant/project.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import { quantizerNamed } from "../quant/registry.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { shiftedLoss } from "./llama.ts";
import { recordedAnnealing } from "./schedules.ts";

type Tensors = Record<string, Tensor>;

interface StepInputs {
  readonly parameters: Tensors;
  readonly moments: { first: Tensors; second: Tensors };
  readonly ids: Tensor;
  readonly temperatures: Tensors;
  readonly pressure: Tensor;
  readonly step: Tensor;
  readonly learningRate: Tensor;
}

/** Names of the recorded arms' quantizers. */
const arms: Readonly<Record<string, string>> = { fp: "none", ste: "ternary", hestia: "hestia" };

/** One step of training; a step of the hard phase is another program. */
function trainingStep(config: LlamaConfig, options: { quantizer: Quantizer; groupSize: number; hard: boolean }) {
  const { quantizer, groupSize, hard } = options;
  return compile(({ parameters, moments, ids, temperatures, pressure, step, learningRate }: StepInputs) => {
    const project = quantizedProject(
      parameters,
      quantizer,
      (name) => ({ recipe: "hestia-2025", groupSize, temperature: temperatures[name], pressure, hard }),
    );
    const loss = shiftedLoss(llama({ config, parameters }, ids, { project }), ids);
    const names = Object.keys(parameters);
    const slopes = gradients(loss, Object.values(parameters));
    const named = Object.fromEntries(names.map((name, index) => [name, slopes[index]]));
    const settings = {
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0.01,
      clipNorm: 1,
      decays: (name: string) => !isNorm(name),
    };
    return { loss, ...adamw({ parameters, gradients: named, moments, step }, { ...settings, learningRate }) };
  }, { donate: ["moments"] });
}

/** Scales by tensor name. The recorded keys carry a running number in front, and no `.weight` behind. */
function scalesOf(recorded: Case): Record<string, number> | undefined {
  if (!recorded.parameter("temp_scales")) return undefined;
  const entries = Object.entries(recorded.object<Record<string, number>>("temp_scales"));
  return Object.fromEntries(entries.map(([key, scale]) => [`${key.replace(/^layer_\d+_/, "")}.weight`, scale]));
}

/** `trajectory`: losses and gradient norms of a run from given weights on given tokens. */
export function trajectoryCase(recorded: Case): Computed[] {
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const arm = String(recorded.parameter("arm"));
  if (!Object.hasOwn(arms, arm)) throw new TypeError(`${recorded.name}: unknown arm "${arm}"`);
  const quantizer = quantizerNamed(arms[arm]);
  const steps = recorded.number("steps");
  const scales = scalesOf(recorded);
  const annealed = recordedAnnealing(recorded, recorded.parameter("style") ?? "cosine", {
    totalSteps: steps,
    initialTemperature: recorded.number("init_temp"),
  });
  const stateAt = (step: number, name?: string) => annealed(step, scales && name ? temperatureScaleOf(scales, name) : 1);
  const compiled = [false, true].map((hard) => trainingStep(config, { quantizer, groupSize: recorded.number("gs", 0), hard }));
  const rateAt = (step: number) =>
    recorded.number("lr") *
    learningRateMultiplier(step, { recipe: "hestia-2025", totalSteps: steps, warmupSteps: recorded.number("warmup") });
  let parameters = recorded.inputsUnder("w.");
  let moments: Moments = initialMoments(parameters);
  const [losses, norms]: [Tensor[], Tensor[]] = [[], []];
  for (let step = 0; step < steps; step++) {
    const { pressure, hard } = stateAt(step);
    const names = quantizer.anneals ? quantizedNames(config) : [];
    const temperatures = Object.fromEntries(names.map((name) => [name, stateAt(step, name).temperature]));
    const rates = { pressure, step: step + 1, learningRate: rateAt(step) };
    const result = compiled[Number(hard)]({ parameters, moments, ids: idsOf(recorded, step), temperatures, ...rates });
    ({ parameters, moments } = result);
    losses.push(result.loss);
    norms.push(result.gradientNorm);
  }
  const order = Object.values(parameters);
  const error = recorded.parameter("float32_torch_abs_loss_error") as { max?: number } | undefined;
  return [
    { role: "loss", value: losses, float32Error: error?.max, absolute: true },
    // the relaxation's slope grows as the temperature falls, and rounding errors of the gradient with it
    ...norms.map((norm, step): Computed => ({
      role: "grad_norm",
      value: norm,
      expected: [recorded.expected("grad_norm").values[step]],
      sensitivity: quantizer.anneals ? 1 + 1 / stateAt(step).temperature : 1,
    })),
    { role: "lr", value: Array.from({ length: steps }, (_, step) => rateAt(step)) },
    { role: "param_norms", value: order.map((parameter) => parameter.square().sum().sqrt()) },
    { role: "param_sums", value: order.map((parameter) => parameter.sum()) },
  ];
}

/** Token ids of one step: `[step, batch, tokens]` is recorded. */
function idsOf(recorded: Case, step: number): Tensor {
  const [, batch, length] = recorded.input("tokens").shape;
  const values = Array.from(recorded.values("tokens")).slice(step * batch * length, (step + 1) * batch * length);
  return tensor(values, { shape: [batch, length], dtype: "int32" });
}
