/**
 * What a run will take of memory and disk, and whether it fits.
 *
 * @module
 */

import type { LlamaConfig } from "../llama/config.ts";
import { packedFormats } from "../pack/formats.ts";
import { type Plan, type PlanOptions, planTraining } from "../pipeline/plan.ts";
import { backendInfo } from "../runtime.ts";
import { quantizerNamed } from "../quant/registry.ts";
import type { RunConfig } from "./config.ts";
import { modelConfigOf } from "./train_options.ts";
import { UsageError } from "./errors.ts";

/** A change of a configuration that saves memory. */
interface Saving {
  /** What people type. */
  readonly option: string;
  readonly change: (config: RunConfig) => RunConfig;
}

const optimizer = (config: RunConfig, change: Partial<RunConfig["optimizer"]>): RunConfig => ({
  ...config,
  optimizer: { ...config.optimizer, ...change },
});

/** From what costs least to what changes most. Each is proposed where it changes anything. */
const savings: readonly Saving[] = [
  { option: "--recompute-every 1", change: (config) => ({ ...config, recomputeEvery: 1 }) },
  { option: "--clip-by before", change: (config) => optimizer(config, { clipBy: "before" }) },
  { option: "--moments bfloat16", change: (config) => optimizer(config, { moments: "bfloat16" }) },
  { option: "half of --batch-size", change: (config) => ({ ...config, batchSize: Math.max(1, config.batchSize >> 1) }) },
  {
    option: "half of --sequence-length",
    change: (config) => ({ ...config, sequenceLength: Math.max(1, config.sequenceLength >> 1) }),
  },
];

/** The plan of a run on a model of this architecture. */
export async function planRun(config: RunConfig, model: LlamaConfig): Promise<Plan> {
  const { quantize: { quantizer }, recomputeEvery, calibration: { curvature } } = config;
  const calibration = quantizerNamed(quantizer).anneals ? { curvature, recomputeEvery } : undefined;
  return await planTraining(model, { ...settingsOf(config), calibration });
}

function settingsOf({ quantize, optimizer, recomputeEvery, batchSize, sequenceLength }: RunConfig): PlanOptions {
  const { quantizer, groupSize, scaleDtype, hardSteps } = quantize;
  const training = { quantizer, groupSize, scaleDtype, optimizer, recomputeEvery, donate: true, annealing: { hardSteps } };
  return { batchSize, sequenceLength, training };
}

/** Bytes of training alone. */
async function trainingPlan(config: RunConfig, model: LlamaConfig): Promise<number> {
  const { phases } = await planTraining(model, { ...settingsOf(config), phases: ["training"] });
  return phases[0].total;
}

/** What training would take with an option. */
export interface Alternative {
  readonly option: string;
  /** Bytes with this option alone. */
  readonly alone: number;
  /** The same with all options up to this one. */
  readonly together: number;
}

/** What options would save in training, the phase that takes most. */
export async function alternatives(config: RunConfig, model: LlamaConfig): Promise<Alternative[]> {
  const result: Alternative[] = [];
  let together = config;
  for (const { option, change } of savings) {
    const alone = change(config);
    if (JSON.stringify(alone) === JSON.stringify(config)) continue;
    const isFirst = together === config;
    together = change(together);
    const bytes = await trainingPlan(alone, model);
    result.push({ option, alone: bytes, together: isFirst ? bytes : await trainingPlan(together, model) });
  }
  return result;
}

/** Bytes that a run leaves on the disk. */
export interface DiskPlan {
  /** The trained checkpoint. */
  readonly checkpoint: number;
  /** The packed model: weights, embedding, head and norms, without the tokenizer. */
  readonly packed: number;
  /** States to go on from, while it runs. */
  readonly states: number;
}

/** What a run writes. */
export function planDisk({ output, checkpoints, evaluation }: RunConfig, plan: Plan, model: LlamaConfig): DiskPlan {
  const { parameters, quantized, parameterBytes, momentBytes } = plan;
  const rows = model.vocabularySize * model.hiddenSize * (model.tieEmbeddings ? 1 : 2);
  const bits = output.format === "f16" ? 16 : packedFormats[output.format].bitsPerWeight;
  const tables = rows * (output.embeddings === "q8_0" ? 8.5 / 8 : 2);
  return {
    checkpoint: parameters * (output.dtype === "float32" ? 4 : 2),
    packed: Math.ceil(quantized * bits / 8 + tables + 4 * (parameters - quantized - rows)),
    states: (checkpoints.keep + (evaluation.everySteps === undefined ? 0 : 1)) * (parameterBytes + momentBytes), // the best one, too
  };
}

/** Bytes of memory that the device has, where that can be known: a software adapter uses the machine's. */
export async function deviceMemory(): Promise<number | undefined> {
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter?.info.isFallbackAdapter ? Deno.systemMemoryInfo().available : undefined;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 3 : 1)} GB`;

/**
 * Refuses a run that the device has no memory for, with the options that would make it fit.
 *
 * @throws {UsageError} Where it does not fit.
 */
export async function checkMemory(config: RunConfig, model: LlamaConfig, memory: number | undefined): Promise<void> {
  if (memory === undefined || (await backendInfo()).name !== "webgpu") return;
  const { peak, phases } = await planRun(config, model);
  if (peak <= memory) return;
  const { phase } = phases.find(({ total }) => total === peak)!;
  const others = await alternatives(config, model);
  const enough = others.findIndex(({ together }) => together <= memory);
  const single = others.find(({ alone }) => alone <= memory);
  const advice = single
    ? `${single.option} takes ${gigabytes(single.alone)}`
    : enough >= 0
    ? `${others.slice(0, enough + 1).map(({ option }) => option).join(", ")} together take ${gigabytes(others[enough].together)}`
    : `all of ${others.map(({ option }) => option).join(", ")} still take ${
      gigabytes(others.at(-1)?.together ?? peak)
    }: a smaller model`;
  throw new UsageError(`${phase} takes ${gigabytes(peak)} of memory, and the device has ${gigabytes(memory)}; ${advice}`);
}

/** What options would save in training, in a line: where the device's memory was short after all. */
export async function memoryAdvice(config: RunConfig): Promise<string> {
  const model = await modelConfigOf(config);
  const others = await alternatives(config, model);
  const options = others.map(({ option, alone }) => `with ${option} ${gigabytes(alone)}`);
  return `by plan, training takes ${gigabytes(await trainingPlan(config, model))}, ${options.join(", ")}`;
}
