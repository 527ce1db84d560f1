/**
 * Cases of the release of 2026: whole models, and whole training runs.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { type HuggingFaceConfig, type LlamaConfig, llamaConfig } from "../llama/config.ts";
import { llama, plainProject, type Project } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { annealing } from "../quant/annealing.ts";
import { temperatureScales } from "../quant/guidance.ts";
import { quantizedProject } from "../quant/project.ts";
import type { QuantizerState } from "../quant/quantizer.ts";
import { isQuantizable, releaseConfig } from "../release.ts";
import type { Tensor } from "../tensor.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { shiftedLoss } from "./llama.ts";
import { layerOf, recipe, type RecordedLayer, sensitivityAt } from "./release_quantizers.ts";

/** How the layers of a recorded model are quantized, and when. */
export interface RecordedModel extends RecordedLayer {
  readonly step?: number;
  readonly total_steps?: number;
  readonly alpha?: number;
  readonly kappa?: number;
  readonly init_temp?: number;
  readonly compress_ratio?: number;
  readonly temperature?: number;
  readonly pressure?: number;
  readonly guided?: boolean;
  readonly frozen?: boolean;
}

/** Fields of the release's configuration among others, with its defaults. */
export function configOf(quant: RecordedModel) {
  const { method, codebook, group_size, fairy2i_steps, alpha, kappa, init_temp, compress_ratio } = quant;
  const given = Object.entries({ method, codebook, group_size, fairy2i_steps, alpha, kappa, init_temp, compress_ratio });
  return releaseConfig(Object.fromEntries(given.filter(([, value]) => value !== undefined)));
}

/** Scale of each quantized tensor's temperature by module name: from the recorded traces where the model is guided, or 1. */
export function recordedScales(recorded: Case, quant: RecordedModel, modules: readonly string[]): Record<string, number> {
  if (!quant.guided) return Object.fromEntries(modules.map((name) => [name, 1]));
  const { alpha, kappa } = configOf(quant);
  const traces = recorded.object<Record<string, number>>("traces");
  return temperatureScales(traces, { recipe, names: modules, alpha, kappa }).temperatureScales;
}

/** Names of the modules that are quantized: of the layers' linear maps, and of a head of its own. */
export function quantizedModules(config: LlamaConfig, shapes: Readonly<Record<string, Tensor>>, rules: {
  readonly skip_modules: readonly string[];
  readonly codebook: string;
}): string[] {
  const linear = [...quantizedNames(config), ...config.tieEmbeddings ? [] : ["lm_head.weight"]];
  const modules = linear.map((name) => name.replace(/\.weight$/, ""));
  return modules.filter((name) => isQuantizable(name, rules, shapes[`${name}.weight`].shape));
}

/** Temperature by module, and pressure. */
function stateOf(recorded: Case, quant: RecordedModel, modules: readonly string[]) {
  if (quant.frozen) return { temperatures: Object.fromEntries(modules.map((name) => [name, 0])), pressure: 1 };
  const scales = recordedScales(recorded, quant, modules);
  const { init_temp: initialTemperature, compress_ratio: compressRatio } = configOf(quant);
  const annealed = quant.step === undefined
    ? { temperature: quant.temperature ?? 0, pressure: quant.pressure ?? 1 }
    : annealing({ recipe, totalSteps: quant.total_steps!, initialTemperature, compressRatio }).at(quant.step);
  const { temperature, pressure } = annealed;
  return { temperatures: Object.fromEntries(modules.map((name) => [name, temperature * scales[name]])), pressure };
}

/** `hestia2_llama`: loss, logits and gradients of a model, plain, relaxed or with hard weights. */
export function releaseLlamaCase(recorded: Case): Computed[] {
  const quant = recorded.parameter("quant") ? recorded.object<RecordedModel & Record<string, unknown>>("quant") : undefined;
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const parameters = recorded.inputsUnder("w.");
  const ids = recorded.input("input_ids");
  const { codebook } = configOf(quant ?? {});
  const modules = quant ? quantizedModules(config, parameters, { skip_modules: recorded.texts("skip_modules"), codebook }) : [];
  const { temperatures, pressure } = stateOf(recorded, quant ?? { frozen: true }, modules);
  const { quantizer, state } = layerOf(quant ?? {});
  const stateOfWeight = (name: string): QuantizerState => ({
    ...state,
    pressure,
    temperature: temperatures[name.replace(/\.weight$/, "")],
  });
  const [quantized, plain] = [quantizedProject(parameters, quantizer, stateOfWeight), plainProject(parameters)];
  const project: Project = (name, x) => (modules.includes(name.replace(/\.weight$/, "")) ? quantized : plain)(name, x);
  const head: Record<string, Tensor> = modules.includes("lm_head")
    ? { "lm_head.weight": quantizer.quantize(parameters["lm_head.weight"], stateOfWeight("lm_head")) }
    : {};
  const logits = llama({ config, parameters: { ...parameters, ...head } }, ids, { project });
  const loss = shiftedLoss(logits, recorded.input("labels"));
  const wanted = recorded.outputs.filter((role) => role.startsWith("grad.")).map((role) => role.slice("grad.".length));
  const slopes = gradients(loss, wanted.map((name) => parameters[name]));
  const errors = recorded.parameter("float32_torch_error") as Record<string, number> | undefined ?? {};
  const sensitivity = quantizer.anneals ? Math.max(1, ...Object.values(temperatures).map(sensitivityAt)) : 1;
  const hard = recorded.outputs.filter((role) => role.startsWith("q.")).map((role): Computed => {
    const name = role.slice("q.".length);
    return { role, value: quantizer.quantize(parameters[name], stateOfWeight(name)) };
  });
  const known = recorded.parameter("temperatures") ? recorded.object<Record<string, number>>("temperatures") : undefined;
  return [
    { role: "loss", value: loss, float32Error: errors.loss, absolute: true },
    { role: "logits", value: logits, float32Error: errors.logits, absolute: true, sensitivity },
    ...wanted.map((name, index) => ({ role: `grad.${name}`, value: slopes[index], float32Error: errors.grad, sensitivity })),
    ...hard,
    ...known
      ? [
        { role: "temperatures", value: modules.map((name) => temperatures[name]), expected: modules.map((name) => known[name]) },
        { role: "pressure_used", value: [pressure], expected: [recorded.number("pressure_used")] },
      ]
      : [],
  ];
}
