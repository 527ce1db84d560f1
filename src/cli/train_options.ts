/**
 * The options of `deno task train`, and the configuration that they and a file make.
 *
 * @module
 */

import { isJsonObject, type JsonObject } from "../io/json.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { storageNames } from "../pack/fitting.ts";
import { recipeNames } from "../recipes.ts";
import type { Command, Values } from "./args.ts";
import { dataOption, textOptions } from "./data.ts";
import { PACKAGED_CORPUS } from "./corpus.ts";
import { overrideConfig, quantizerNames, readConfig, resolveConfig, type RunConfig } from "./config.ts";
import { modelConfig } from "./models.ts";
import { nameOf } from "./files.ts";

const whole = { type: "integer", value: "N", minimum: 1 } as const;

/** What `deno task train` takes. Options stand above the configuration file. */
export const command = {
  name: "train",
  summary: "Trains a model to ternary weights, packs it, measures what that costs, and lets it write.\n" +
    "Without --model and --config: the quickstart, a small model of our own.",
  options: {
    model: {
      type: "string",
      value: "PATH",
      description: "Model to start from: a folder in Hugging Face's layout, a GGUF file of floats, or a name on the Hub",
    },
    data: { ...dataOption, description: dataOption.description + ', or "moby-dick"' },
    field: textOptions.field,
    cache: textOptions.cache,
    documentMask: { type: "boolean", description: "Cut attention between documents" },
    output: {
      type: "string",
      value: "DIR",
      description: "Folder of the run (default: runs/ and the name of model or configuration)",
    },
    config: {
      type: "string",
      value: "FILE",
      description: "Configuration of the run (default: configs/quickstart.json; none with --model)",
    },
    steps: { ...whole, minimum: 2, description: "Steps of quantized training; warm-up and hard steps keep their shares" },
    batchSize: { ...whole, description: "Sequences of a step" },
    sequenceLength: { ...whole, description: "Tokens of a sequence" },
    learningRate: { type: "number", minimum: 0, value: "RATE", description: "Peak learning rate of quantized training" },
    recipe: { type: "string", value: "NAME", choices: recipeNames, description: "Rules of training that no field names" },
    quantizer: { type: "string", value: "NAME", choices: quantizerNames, description: "How weights become ternary" },
    groupSize: {
      type: "string",
      value: "N",
      description:
        "Weights that share a scale: 0 a tensor, -1 a channel, or auto: what --for holds best, up to 128 (default: 128; auto with --model)",
    },
    dtype: {
      type: "string",
      choices: ["float32", "float16", "bfloat16"],
      value: "TYPE",
      description: "Type of the saved checkpoint's weights (default: the model's)",
    },
    for: { type: "string", value: "FORMAT", choices: storageNames, description: "Format to pack" },
    seed: { ...whole, minimum: 0, maximum: 0xffffffff, description: "Seed of weights, batches, probes and sample" },
    recomputeEvery: {
      ...{ ...whole, minimum: 0 },
      description: "Save memory: compute the inner results of every N-th layer again in the backward pass (1: all layers)",
    },
    clipBy: {
      type: "string",
      choices: ["step", "before"],
      value: "NORM",
      description: "Clip gradients by the norm of the step, or of the step before, which takes less memory",
    },
    moments: {
      type: "string",
      choices: ["float32", "bfloat16"],
      value: "TYPE",
      description: "How the optimizer keeps its moments; bfloat16 takes half the memory",
    },
    adapterMemory: {
      type: "number",
      value: "GB",
      minimum: 0.001,
      description: "Memory of the adapter: what does not fit is refused",
    },
    evaluateEvery: { ...whole, description: "Steps between two measurements on held-out text while training (default: none)" },
    patience: { ...whole, description: "End a phase, with its best model, after so many measurements that were no better" },
    serve: {
      ...{ type: "integer", value: "PORT", minimum: 0, maximum: 65535, alone: 8642 },
      description: "Show the run while it goes on, on this machine (default port: 8642; 0 takes a free one)",
    },
    host: {
      type: "string",
      value: "ADDRESS",
      description:
        "Address that --serve listens at: 0.0.0.0 shows the run to everybody who reaches this machine (default: 127.0.0.1)",
    },
    tensorboard: { type: "boolean", description: "Write event files for TensorBoard too, in tensorboard/ of the run" },
    trackio: { type: "string", value: "URL", description: "Tell a Trackio server of each record too" },
    fresh: { type: "boolean", description: "Begin anew: an unfinished run in the folder is moved aside instead of going on" },
    maxSteps: { ...whole, minimum: 2, description: "Cut each phase of training to so many steps" },
  },
} as const satisfies Command;

/** Options of the command line. */
export type TrainFlags = Values<typeof command.options, Record<never, never>>;

/** Fields that options set, by option. */
const fields = {
  field: ["data", "field"],
  documentMask: ["data", "documentMask"],
  dtype: ["output", "dtype"],
  batchSize: ["batchSize"],
  sequenceLength: ["sequenceLength"],
  learningRate: ["quantize", "learningRate"],
  recipe: ["recipe"],
  quantizer: ["quantize", "quantizer"],
  groupSize: ["quantize", "groupSize"],
  for: ["output", "format"],
  recomputeEvery: ["recomputeEvery"],
  clipBy: ["optimizer", "clipBy"],
  moments: ["optimizer", "moments"],
  seed: ["seed"],
  evaluateEvery: ["evaluation", "everySteps"],
  patience: ["evaluation", "patience"],
  tensorboard: ["trackers", "tensorboard"],
  trackio: ["trackers", "trackio"],
} as const satisfies Partial<Record<keyof TrainFlags, readonly string[]>>;

/**
 * The configuration of a run, and the name of its folder where nobody gives one.
 *
 * @throws {UsageError} As `loadConfig` does.
 */
export async function runConfig(flags: Partial<TrainFlags>): Promise<{ readonly config: RunConfig; readonly name: string }> {
  const path = flags.config ?? (flags.model === undefined ? "configs/quickstart.json" : undefined);
  const typed = withFlags(path === undefined ? {} : await readConfig(path), flags);
  const model = (typed as { model?: { path?: unknown } })?.model?.path;
  const given = typeof model === "string" ? await modelConfig(model) : undefined;
  const config = resolveConfig(typed, path ?? "command line", given);
  const { steps, maxSteps } = flags;
  const name = nameOf(path ?? model as string).replace(/\.(json|gguf)$/, "");
  return { config: overrideConfig(config, { steps, maxSteps }), name };
}

/** Architecture of the model that a run trains. Its weights are not read. */
export async function modelConfigOf({ model, sequenceLength, sample }: RunConfig): Promise<LlamaConfig> {
  if ("path" in model) return await modelConfig(model.path);
  const { initializerRange: _, ...sizes } = model;
  return { ...sizes, maxPositions: Math.max(sequenceLength, sample.tokens + sample.prompt.length * 4) }; // tokens that it is used with
}

/** A configuration as parsed, with the fields that options set. */
function withFlags(value: unknown, flags: Partial<TrainFlags>): unknown {
  if (!isJsonObject(value)) return value; // refused when it is resolved
  const config: JsonObject = { ...value, ...(flags.model === undefined ? {} : { model: { path: flags.model } }) };
  if (flags.data !== undefined && (config.data === undefined || isJsonObject(config.data))) {
    const { corpus: _, sources: __, ...data } = config.data ?? {}; // one takes the place of the other
    config.data = { ...data, ...(flags.data === PACKAGED_CORPUS ? { corpus: flags.data } : { sources: [flags.data] }) };
  }
  for (const [flag, field] of Object.entries(fields)) {
    const typed = flags[flag as keyof typeof fields];
    if (typed === undefined || typed === false) continue;
    const isGroup = flag === "groupSize" && typed !== "auto";
    setField(config, field, isGroup ? Number(typed) : typed);
  }
  return config;
}

function setField(config: JsonObject, [name, inner]: readonly string[], value: unknown): void {
  const section = config[name];
  const isSection = isJsonObject(section);
  config[name] = inner === undefined
    ? value
    : isSection || section === undefined
    ? { ...section as JsonObject, [inner]: value }
    : section;
}
