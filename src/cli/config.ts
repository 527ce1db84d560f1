/**
 * The configuration of a run: its fields, their defaults, and one clear line for a field that cannot be used.
 *
 * @module
 */

import * as v from "valibot";
import type { LlamaConfig } from "../llama/config.ts";
import { mostLayers } from "../llama/parameters.ts";
import { scheduleStyles } from "../optim/schedule.ts";
import { curvatureOf, curvatures, estimators } from "../pipeline/calibrate.ts";
import { annealingStyles } from "../quant/annealing.ts";
import { storageNames } from "../pack/fitting.ts";
import { defaultRecipe, recipeNamed, recipeNames, rulesOf } from "../recipes.ts";
import { type QuantizerName, quantizers } from "../quant/registry.ts";
import { UsageError } from "./errors.ts";
import { groupSizeOf, matrixShapes, namesModel, withModelDefaults } from "./model_defaults.ts";
import { between, count, finite, flag, must, notNegative, oneOf, positive, section, text } from "./fields.ts";
import { readText } from "./files.ts";
import { watchFields } from "./watch_fields.ts";

/** Quantizers that `quantize.quantizer` may name: a run ends with a ternary file. */
export const quantizerNames = (Object.keys(quantizers) as QuantizerName[]).filter((name) => quantizers[name].ternary);

/** Ids of a byte-level tokenizer. */
const BYTE_VOCABULARY = 256;

/** Weights that share a scale, or the word for those that fit the format best. */
const groupSize = () => {
  const message = must('0 (whole tensor), -1 (one per output channel), a number of weights, or "auto"');
  const isSize = (size: unknown): boolean => size === "auto" || Number.isSafeInteger(size) && size as number >= -1;
  return v.custom<number | "auto">(isSize, message);
};

/** Fields of a phase of training: how many steps, and the learning rate over them. */
const phase = (
  defaults: {
    readonly minimumSteps?: number;
    readonly steps: number;
    readonly learningRate: number;
  },
) => ({
  steps: v.optional(count(defaults.minimumSteps), defaults.steps),
  /** Peak learning rate. */
  learningRate: v.optional(positive(), defaults.learningRate),
  /** A twentieth of the steps where it is left out. */
  warmupSteps: v.optional(count(0)),
  /** Share of the steps, the last ones, over which `wsd` decays. */
  decayRatio: v.optional(between(0, 1), 0.1),
  /** Learning rate at the end, as a share of the peak. */
  minLearningRateRatio: v.optional(between(0, 1), 0.1),
  /** Whether the warm-up begins at the learning rate of the end, or at zero; what follows is what it means where it is left out. */
  warmupStart: v.optional(oneOf(["minimum", "zero"])),
  /** Whether a decay that would begin within the warm-up begins after it. */
  decayAfterWarmup: v.optional(flag()),
  style: v.optional(oneOf(scheduleStyles), "wsd"),
});

/** Rules of the weights: those of the recipe where they are left out. */
export const weightFields = {
  /** "offset" adds `scaleEpsilon` to the mean magnitude of a group, "clamped" takes the larger of the two. */
  scaleRule: v.optional(oneOf(["offset", "clamped"])),
  scaleEpsilon: v.optional(positive()),
  /** Whether gradients flow through the scale. */
  scaleGradient: v.optional(flag()),
  /** Code of a weight in the middle of two: the lower one, or the one nearer to zero. */
  tieRule: v.optional(oneOf(["lower", "zero"])),
  /** Added to each temperature. */
  temperatureOffset: v.optional(notNegative()),
  /** Whether straight-through baselines follow the pressure too. */
  baselinePressure: v.optional(flag()),
} as const;

/** A model that is made of random numbers, with a byte-level tokenizer. */
const newModel = section({
  hiddenSize: v.optional(count(), 128),
  layers: v.optional(v.pipe(count(), v.maxValue(mostLayers, must(`at most ${mostLayers} layers`))), 5),
  heads: v.optional(count(), 4),
  keyValueHeads: v.optional(count(), 2),
  headDim: v.optional(count(2), 32),
  intermediateSize: v.optional(count(), 384),
  vocabularySize: v.optional(count(BYTE_VOCABULARY), BYTE_VOCABULARY),
  normEpsilon: v.optional(positive(), 1e-5),
  ropeTheta: v.optional(positive(), 10_000),
  tieEmbeddings: v.optional(v.boolean(must("true or false")), true),
  /** Standard deviation of the first weights. */
  initializerRange: v.optional(positive(), 0.02),
});

/** A model that somebody trained. */
const givenModel = section({
  /** Folder in Hugging Face's layout, or GGUF file of floats. */
  path: text(),
});

const runSchema = section({
  /** The release of the method that rules come from where a field below is left out. */
  recipe: v.optional(oneOf(recipeNames as readonly ["hestia-2026", "hestia-2025"]), defaultRecipe),
  /** Seed of weights, batches, probes and sampling. */
  seed: v.optional(v.pipe(count(0), v.maxValue(0xffffffff, must("an integer of at most 4294967295"))), 0),
  data: v.optional(
    section({
      /** "moby-dick", or the path of a text file, from which windows are drawn at random places. */
      corpus: v.optional(text(), "moby-dick"),
      /** Files, folders, patterns, data sets of the Hub, each perhaps with ":" and its share, instead of a corpus. */
      sources: v.optional(v.pipe(v.array(text()), v.minLength(1, must("a list of one source or more")))),
      /** Field or column of the text, or of the conversation. */
      field: v.optional(text()),
      /** Cut attention between documents. */
      documentMask: v.optional(v.boolean(must("true or false")), false),
      /** Take special tokens that are spelled in a text for such tokens. */
      parseSpecial: v.optional(v.boolean(must("true or false")), false),
      /** Share of the text that is never trained on: the end of a corpus, documents of sources. */
      heldOutFraction: v.optional(between(0.001, 0.9), 0.1),
    }),
    {},
  ),
  /** Sizes of a new model, or the path of one that there is. */
  model: v.optional(v.lazy((input) => namesModel(input) ? givenModel : newModel), {}),
  /** Sequences in one step. */
  batchSize: v.optional(count(), 4),
  /** Tokens predicted in one sequence. */
  sequenceLength: v.optional(count(), 128),
  /** Layers whose inner results are computed again in the backward pass: every so-manieth, 1 for all, 0 for none. */
  recomputeEvery: v.optional(count(0), 0),
  /** Full-precision training; 0 steps for none, so that quantized training is from scratch. */
  pretrain: v.optional(section(phase({ minimumSteps: 0, steps: 600, learningRate: 3e-3 })), {}),
  calibration: v.optional(
    section({
      /** What is traced: the Gauss-Newton part of the Hessian, by gradients, or the Hessian, by Hessian-vector products. */
      curvature: v.optional(oneOf(curvatures)),
      /** Probes at most: products or gradients. */
      probes: v.optional(count(), 8),
      /** Stops once every temperature scale is known to this standard error; 0 spends all probes. */
      tolerance: v.optional(between(0, 1), 0.01),
      /** Batches over which the probes are spread. */
      batches: v.optional(count(), 4),
      /** Probes of all tensors at once, or Hutch++ of one tensor after another, as released. */
      estimator: v.optional(oneOf(estimators), "joint"),
      /** Columns of the sketch of Hutch++. */
      sketch: v.optional(count(), 10),
      /** Probes of what the sketch leaves. */
      queries: v.optional(count(0), 20),
      /** Steepness of the sensitivity score. */
      kappa: v.optional(finite()),
      /** Strength of the temperature scale; negative values turn its order round. */
      alpha: v.optional(finite()),
      /** Whether tensors of high curvature are hotter or cooler. */
      sensitive: v.optional(oneOf(["hotter", "cooler"])),
      /** Smaller traces count as this one. */
      minimumTrace: v.optional(positive()),
    }),
    {},
  ),
  quantize: v.optional(
    section({
      ...phase({ steps: 400, learningRate: 1e-3 }),
      quantizer: v.optional(oneOf(quantizerNames), "hestia"),
      /** Weights that share a scale. */
      groupSize: v.optional(groupSize(), 128),
      /** "float16" rounds scales in training as the packed file stores them. */
      scaleDtype: v.optional(oneOf(["float32", "float16"]), "float32"),
      ...weightFields,
      /** Temperature of the first step. */
      initialTemperature: v.optional(positive()),
      /** Share of the steps over which the pressure rises to 1. */
      compressRatio: v.optional(between(0, 1)),
      /** Share of the steps, the last ones, over which the temperature falls. */
      annealRatio: v.optional(between(0, 1)),
      annealStyle: v.optional(oneOf(annealingStyles)),
      /** Temperature where the annealing ends, before the hard steps: 0.05 to 0.1 from scratch, where 0 freezes the codes too early. */
      endTemperature: v.optional(notNegative(), 0),
      /** Last steps, at temperature zero. */
      hardSteps: v.optional(count(0), 0),
    }),
    {},
  ),
  /** AdamW, in both phases. */
  optimizer: v.optional(
    section({
      beta1: v.optional(between(0, 0.9999), 0.9),
      beta2: v.optional(between(0, 0.99999), 0.95),
      epsilon: v.optional(positive(), 1e-8),
      weightDecay: v.optional(notNegative(), 0.01),
      /** Largest global norm of the gradient. */
      clipNorm: v.optional(positive(), 1),
      /** The norm that gradients are clipped by: that of the "step", or that of the step "before", which frees gradients sooner. */
      clipBy: v.optional(oneOf(["step", "before"]), "step"),
      /** How moments are stored: "bfloat16" takes half the memory. */
      moments: v.optional(oneOf(["float32", "bfloat16"]), "float32"),
      /** Regular expressions: parameters whose names contain a match are not decayed. */
      undecayed: v.optional(v.array(text())),
    }),
    {},
  ),
  /** What is predicted, in both phases. */
  objective: v.optional(
    section({
      /** Whether tokens that end a document are targets; a text of bytes has none. */
      endTargets: v.optional(oneOf(["ignored", "predicted"])),
      /** What the loss is divided by: the predicted tokens, or the labels before they are shifted. */
      divisor: v.optional(oneOf(["labels", "predicted"])),
    }),
    {},
  ),
  output: v.optional(
    section({
      /** How the ternary weights are packed. */
      format: v.optional(oneOf(storageNames), "q2_0"),
      /** Of the saved checkpoint, and so of what is packed; that of the model that `model.path` names, or float32, where absent. */
      dtype: v.optional(oneOf(["float32", "float16", "bfloat16"])),
      /** How embedding and head are, in GGUF. */
      embeddings: v.optional(oneOf(["f16", "q8_0"]), "f16"),
    }),
    {},
  ),
  /** Where a run that ends early goes on. */
  checkpoints: v.optional(
    section({
      /** Between two states that are written; one is always written at the end of a phase, and where a run is interrupted. */
      everySeconds: v.optional(positive(), 300),
      /** Steps between two; the time alone decides where absent. */
      everySteps: v.optional(count()),
      /** The newest so many of a phase stay. */
      keep: v.optional(count(), 2),
    }),
    {},
  ),
  ...watchFields,
  sample: v.optional(
    section({
      prompt: v.optional(text(), "Call me Ishmael."),
      tokens: v.optional(count(), 200),
      /** 0 takes the likeliest token each time. */
      temperature: v.optional(notNegative(), 0.8),
    }),
    {},
  ),
});

type Parsed = ReturnType<typeof withWarmUps>;

/** Fills in the lengths of the warm-ups. */
function withWarmUps(config: v.InferOutput<typeof runSchema>) {
  const filled = <Phase extends typeof config.pretrain>(phase: Phase) => ({
    ...phase,
    warmupSteps: phase.warmupSteps ?? Math.floor(phase.steps / 20),
  });
  return { ...config, pretrain: filled(config.pretrain), quantize: filled(config.quantize) };
}

/** A configuration with every default filled in, and with all that its recipe says. */
export type RunConfig = ReturnType<typeof withRecipe>;

/** Fills in what the recipe says where a field is left out. */
function withRecipe(config: Parsed, groupSize: number) {
  const { recipe, pretrain, calibration, quantize, optimizer, objective } = config;
  const { annealStyle: own, initialTemperature, compressRatio, annealRatio } = quantize;
  const given = { recipe, initialTemperature, compressRatio, annealRatio, style: own };
  const { style: annealStyle, ...annealing } = rulesOf("annealing", given);
  // nothing but quantized tensors is calibrated here, so that they are all there are
  const { statistics: _, ...guidance } = rulesOf("guidance", { recipe, ...calibration });
  const phase = <Phase extends typeof pretrain>(own: Phase) => {
    const { warmupRounding: _, ...schedule } = rulesOf("schedule", { recipe, ...own });
    return { ...own, ...schedule };
  };
  return {
    ...config,
    pretrain: phase(pretrain),
    calibration: { ...calibration, ...guidance, curvature: calibration.curvature ?? curvatureOf(calibration.estimator) },
    quantize: { ...phase(quantize), groupSize, ...rulesOf("weights", { recipe, ...quantize }), ...annealing, annealStyle },
    optimizer: { ...optimizer, undecayed: optimizer.undecayed ?? [...recipeNamed(recipe).undecayed] },
    objective: rulesOf("objective", { recipe, ...objective }),
  };
}

/**
 * Read a configuration file.
 *
 * @throws {UsageError} Where the file is missing or is not JSON, and as {@linkcode resolveConfig} does.
 */
export async function loadConfig(path: string): Promise<RunConfig> {
  return resolveConfig(await readConfig(path), path);
}

/** A configuration file as it stands there: fields that differ from the defaults. */
export async function readConfig(path: string): Promise<unknown> {
  const content = await readText(path, "configuration");
  try {
    return JSON.parse(content);
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, " "); // it quotes the text, line breaks included
    throw new UsageError(`${path} is not JSON: ${reason}`);
  }
}

/**
 * Check a configuration and fill in its defaults. With `model.path` there is no training in full precision unless `pretrain` asks for it,
 * and sequences and learning rate are what suits a model of that size.
 *
 * @param value Fields that differ from the defaults, as parsed from JSON.
 * @param source What the error message calls the configuration, usually its path.
 * @param given Architecture of the model that `model.path` names; without it, nothing is known that would forbid a group size.
 * @throws {UsageError} Where a field is unknown, has a value that is not allowed, or does not fit another. One line names it.
 */
export function resolveConfig(value: unknown, source = "configuration", given?: LlamaConfig): RunConfig {
  const result = v.safeParse(runSchema, withModelDefaults(value, given), { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new UsageError(`${source}: ${v.getDotPath(issue) ?? "a configuration"} ${issue.message}`);
  }
  const parsed = withWarmUps(result.output);
  const conflict = conflicts(parsed).find(([holds]) => !holds);
  if (conflict !== undefined) throw new UsageError(`${source}: ${conflict[1]}`);
  const { sequenceLength } = parsed;
  if (given && sequenceLength > given.maxPositions) {
    throw new UsageError(
      `${source}: sequenceLength must be at most ${given.maxPositions}, the longest context of the model, got ${sequenceLength}`,
    );
  }
  const model = "path" in parsed.model ? given : { ...parsed.model, maxPositions: parsed.sequenceLength };
  return withRecipe(
    parsed,
    groupSizeOf(parsed.quantize.groupSize, { format: parsed.output.format, shapes: model && matrixShapes(model), source }),
  );
}

/**
 * A configuration with phases of other lengths: quantized training of `steps`, and no phase longer than `maxSteps`. Warm-up and hard steps
 * change in proportion.
 */
export function overrideConfig(
  config: RunConfig,
  { steps, maxSteps = Infinity }: { readonly steps?: number; readonly maxSteps?: number },
): RunConfig {
  const { pretrain, quantize } = config;
  const lengths = { pretrain: Math.min(pretrain.steps, maxSteps), quantize: Math.min(steps ?? quantize.steps, maxSteps) };
  const share = (count: number, phase: "pretrain" | "quantize"): number =>
    Math.floor(count * lengths[phase] / Math.max(1, config[phase].steps));
  return {
    ...config,
    pretrain: { ...pretrain, steps: lengths.pretrain, warmupSteps: share(pretrain.warmupSteps, "pretrain") },
    quantize: {
      ...quantize,
      steps: lengths.quantize,
      warmupSteps: share(quantize.warmupSteps, "quantize"),
      hardSteps: share(quantize.hardSteps, "quantize"),
    },
  };
}

/** Rules about several fields at once: whether each holds, and the sentence for when it does not. */
function conflicts({ model, quantize, pretrain, evaluation }: Parsed): [holds: boolean, message: string][] {
  const { heads, keyValueHeads, headDim } = "path" in model ? { heads: 1, keyValueHeads: 1, headDim: 2 } : model;
  return [
    [heads % keyValueHeads === 0, `model.heads must be a multiple of model.keyValueHeads, got ${heads} and ${keyValueHeads}`],
    [headDim % 2 === 0, `model.headDim must be even (rotary embedding turns pairs), got ${headDim}`],
    ...Object.entries({ pretrain, quantize }).map(([name, { warmupSteps, steps }]): [boolean, string] => [
      warmupSteps <= steps,
      `${name}.warmupSteps must be at most ${name}.steps, got ${warmupSteps} and ${steps}`,
    ]),
    [
      quantize.scaleDtype === "float32" || quantizers[quantize.quantizer].roundsScales === true,
      `quantize.scaleDtype must be "float32" with the quantizer "${quantize.quantizer}", got "${quantize.scaleDtype}"`,
    ],
    [
      evaluation.patience === undefined || evaluation.everySteps !== undefined,
      `evaluation.patience counts evaluations while training: evaluation.everySteps (--evaluate-every N) must say when, got none`,
    ],
    [
      quantize.hardSteps < quantize.steps,
      `quantize.hardSteps must be below quantize.steps, got ${quantize.hardSteps} and ${quantize.steps}`,
    ],
  ];
}
