/**
 * Cases of whole models, plain and quantized.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { type HuggingFaceConfig, type LlamaConfig, llamaConfig } from "../llama/config.ts";
import { llama, llamaBlock, plainProject, type Project } from "../llama/model.ts";
import { crossEntropy } from "../nn/loss.ts";
import { rmsNorm } from "../nn/normalization.ts";
import { rotaryTable } from "../nn/rotary.ts";
import { quantizedProject } from "../quant/project.ts";
import type { QuantizerState } from "../quant/quantizer.ts";
import { quantizerNamed } from "../quant/registry.ts";
import type { Tensor } from "../tensor.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

type Tensors = Readonly<Record<string, Tensor>>;

interface RecordedQuantizer {
  readonly quant_type: string;
  readonly group_size?: number;
  readonly temp?: number;
  readonly pressure?: number;
  readonly version?: string;
}

/** The library's name of a recorded quantizer. */
function nameOf({ quant_type: name, version }: RecordedQuantizer): string {
  return name === "fairy_hestia" ? `fairy_${version}` : name;
}

/** Mean cross-entropy of each position's logits against the label of the next. */
export function shiftedLoss(logits: Tensor, labels: Tensor, options: { ignoreIndex?: number } = {}): Tensor {
  const [batch, length, vocabulary] = logits.shape;
  return crossEntropy(logits.slice([], [batch, length - 1, vocabulary]), labels.slice([0, 1]), options);
}

function projectOf(recorded: Case, parameters: Tensors, quant: RecordedQuantizer): Project {
  const skipped = recorded.texts("skip_layers");
  if (!skipped.includes("lm_head")) {
    throw new TypeError(`${recorded.name}: the output head is never quantized here, wanted it skipped`);
  }
  const { temp: temperature, pressure, group_size: groupSize = 0 } = quant;
  const state: QuantizerState = { recipe: "hestia-2025", groupSize, temperature, pressure, hard: temperature === 0 };
  const quantized = quantizedProject(parameters, quantizerNamed(nameOf(quant)), () => state);
  const plain = plainProject(parameters);
  return (name, x) => skipped.some((part) => name.includes(part)) ? plain(name, x) : quantized(name, x);
}

/** Activations before each layer, after the last, and after the final normalisation. */
function hiddenStates(
  config: LlamaConfig,
  { parameters, project, ids }: { parameters: Tensors; project: Project; ids: Tensor },
): Tensor[] {
  const rotary = rotaryTable({
    headDim: config.headDim,
    theta: config.ropeTheta,
    scaling: config.ropeScaling,
    length: ids.shape[1],
  });
  const states = [parameters["model.embed_tokens.weight"].gather(ids)];
  for (let layer = 0; layer < config.layers; layer++) {
    states.push(llamaBlock(states[layer], layer, { config, parameters, project, rotary }).output);
  }
  const last = rmsNorm(states[config.layers], parameters["model.norm.weight"], { epsilon: config.normEpsilon });
  return [...states, last];
}

/** `llama`: loss, logits, hidden states, gradients and Hessian-vector products of all parameters. */
export function llamaCase(recorded: Case): Computed[] {
  const quant = recorded.parameter("quant") ? recorded.object<RecordedQuantizer & Record<string, unknown>>("quant") : undefined;
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const parameters = recorded.inputsUnder("w.");
  const ids = recorded.input("input_ids");
  const project = quant ? projectOf(recorded, parameters, quant) : plainProject(parameters);
  const logits = llama({ config, parameters }, ids, { project });
  const loss = shiftedLoss(logits, recorded.input("labels"));
  const names = Object.keys(parameters);
  const weights = Object.values(parameters);
  const named = (prefix: string, tensors: readonly Tensor[]) =>
    names.map((name, index) => [prefix + name, tensors[index]] as const);
  const directions = recorded.inputsUnder("v.");
  const results: (readonly [string, Tensor])[] = [
    ["loss", loss],
    ["logits", logits],
    ...hiddenStates(config, { parameters, project, ids }).map((state, index) => [`hidden${index}`, state] as const),
    ...named("grad.", gradients(loss, weights)),
  ];
  if (names.every((name) => name in directions)) {
    results.push(...named("hvp.", hessianVectorProduct(loss, weights, names.map((name) => directions[name]))));
  }
  const errors = recorded.parameter("float32_torch_error") as Record<string, number> | undefined ?? {};
  return results.filter(([role]) => recorded.hasOutput(role)).map(([role, value]) => ({ role, value, ...errorOf(role, errors) }));
}

/** The recorded float32 error of an output: absolute for loss and logits, relative for gradients and products. */
function errorOf(role: string, errors: Readonly<Record<string, number>>): Pick<Computed, "float32Error" | "absolute"> {
  const kind = role.split(".")[0];
  return { float32Error: errors[kind.startsWith("hidden") ? "logits" : kind], absolute: kind === "loss" || kind === "logits" };
}
