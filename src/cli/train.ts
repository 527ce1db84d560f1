/**
 * `deno task train`, the main job: full precision, calibration, quantized training, packing, evaluation and a sample.
 *
 * @module
 */

import type { ProgramBytes } from "../core/program.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { makeFolder } from "../io/files.ts";
import { saveCheckpoint } from "../llama/checkpoint.ts";
import { generate } from "../llama/generate.ts";
import type { LlamaModel } from "../llama/model.ts";
import { initialModel } from "../llama/parameters.ts";
import { byteTokenizer } from "../tokenizer/bytes.ts";
import { calibrate, type Calibration } from "../pipeline/calibrate.ts";
import { heldOutLoss } from "../pipeline/evaluate.ts";
import { openPacked } from "../pipeline/open_packed.ts";
import { pack } from "../pipeline/pack.ts";
import { roundedModel } from "../pipeline/rounded.ts";
import { train, type TrainedModel, type TrainEvent, type TrainOptions } from "../pipeline/train.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { backendInfo } from "../runtime.ts";
import { batchAt, batches, seedFor, splitTokens } from "../train/data.ts";
import type { TrainingLog } from "../train/log.ts";
import type { Command } from "./args.ts";
import { loadConfig, overrideConfig, type RunConfig } from "./config.ts";
import { checkCorpusLength, loadCorpus } from "./corpus.ts";
import { slowBackendWarning } from "./estimate.ts";
import { openLog } from "./log.ts";
import { type Context, main } from "./main.ts";
import { checkRunFolder, openRunFolder } from "./run_folder.ts";
import { type HeldOut, type RunSummary, summaryTable } from "./summary.ts";

const command = {
  name: "train",
  summary: "Trains a small Llama, calibrates it, anneals it to ternary weights, packs it, and lets it write.",
  options: {
    config: { type: "string", value: "FILE", default: "configs/quickstart.json", description: "Configuration of the run" },
    output: { type: "string", value: "DIR", description: "Folder of the run (default: runs/ and the configuration's name)" },
    maxSteps: { type: "integer", value: "N", minimum: 2, description: "Cut each phase of training to so many steps" },
    recomputeEvery: {
      type: "integer",
      value: "N",
      minimum: 0,
      description: "Save memory: compute the inner results of every N-th layer again in the backward pass (1: all layers)",
    },
    seed: {
      type: "integer",
      value: "N",
      minimum: 0,
      maximum: 0xffffffff,
      description: "Seed of weights, batches, probes and sample",
    },
  },
} as const satisfies Command;

/** One run: its settings and what its phases share. */
class Run {
  readonly #seconds: Record<string, number> = {};

  constructor(
    readonly config: RunConfig,
    readonly folder: string,
    private readonly tokens: { readonly training: Uint8Array | Uint32Array; readonly heldOut: Uint8Array | Uint32Array },
    private readonly log: TrainingLog,
    private readonly context: Context,
  ) {}

  /** Runs a phase and remembers how long it took. */
  async #timed<T>(phase: string, work: () => Promise<T>): Promise<T> {
    this.context.signal.throwIfAborted();
    const started = performance.now();
    const result = await work();
    this.#seconds[phase] = (performance.now() - started) / 1000;
    this.context.signal.throwIfAborted();
    return result;
  }

  async all(): Promise<RunSummary> {
    const { config, folder } = this;
    const backend = await backendInfo();
    const { initializerRange: deviation, ...sizes } = config.model;
    const initial = initialModel({ ...sizes, maxPositions: contextLength(config) }, { seed: config.seed, deviation });
    const { quantizer, groupSize, scaleDtype } = config.quantize;
    const base = await this.#timed("pretrain", () => this.#pretrain(initial));
    await saveCheckpoint(`${folder}/base`, base, { tokenizer: byteTokenizer });
    const guided = quantizerNamed(quantizer).anneals; // others have no temperature to scale
    const calibration = guided ? await this.#timed("calibrate", () => this.#calibrate(base)) : undefined;
    const latent = await this.#timed("quantize", () => this.#quantize(base, calibration?.temperatureScales));
    const trained = { ...latent, tokenizer: byteTokenizer };
    const path = `${folder}/packed/model.gguf`;
    const bytes = await this.#timed("pack", async () => {
      await saveCheckpoint(`${folder}/model`, trained, trained);
      await makeFolder(`${folder}/packed`);
      const packed = await pack(trained, { name: folder.replace(/^.*[/\\]/, "") });
      await writeFileAtomic(path, packed);
      return packed;
    });
    const { sizes: packedSizes, ...packed } = await openPacked(bytes, { source: path });
    const heldOut = await this.#timed("evaluate", async () => ({
      fullPrecision: await this.#heldOut("full precision", base),
      rounded: await this.#heldOut("rounded", roundedModel({ ...base, quantization: { quantizer, groupSize, scaleDtype } })),
      quantized: await this.#heldOut("quantized", roundedModel(trained)),
      packed: await this.#heldOut("packed", packed),
    }));
    const sample = await this.#timed("sample", () => this.#sample(packed));
    return {
      output: folder,
      backend: { name: backend.name, description: backend.description },
      seed: config.seed,
      quantizer,
      parameters: Object.values(base.parameters).reduce((sum, { size }) => sum + size, 0),
      heldOut,
      gapClosed: (heldOut.rounded.lossNats - heldOut.quantized.lossNats) /
        (heldOut.rounded.lossNats - heldOut.fullPrecision.lossNats),
      packed: { fileBytes: bytes.length, ...packedSizes },
      seconds: this.#seconds,
      sample,
    };
  }

  async #pretrain(model: LlamaModel): Promise<LlamaModel> {
    const { pretrain } = this.config;
    return await this.#train("full precision", "pretrain", model, {
      ...phaseOptions(this.config, pretrain),
      seed: seedFor(this.config.seed, "pretrain"),
    });
  }

  async #calibrate(model: LlamaModel): Promise<Calibration> {
    const { calibration, recomputeEvery, seed } = this.config;
    const size = this.#batchSize();
    const data = Array.from(
      { length: calibration.batches },
      (_, step) => batchAt(this.tokens.training, { ...size, seed: seedFor(seed, "calibration"), step }),
    );
    const { signal } = this.context;
    let shown = performance.now();
    const result = await calibrate(model, data, {
      ...calibration,
      recomputeEvery,
      seed,
      signal,
      onProgress: ({ probes, of }) => {
        if (probes < of && performance.now() - shown < 5000) return;
        shown = performance.now();
        console.error(`calibration ${probes}/${of} probes`);
      },
    });
    await writeFileAtomic(`${this.folder}/calibration.json`, JSON.stringify(result, null, 2) + "\n");
    return result;
  }

  async #quantize(model: LlamaModel, temperatureScales: Calibration["temperatureScales"] | undefined): Promise<TrainedModel> {
    const { quantize, seed } = this.config;
    const { quantizer, groupSize, scaleDtype, compressRatio, annealRatio, annealStyle: style, endTemperature, hardSteps } =
      quantize;
    return await this.#train(quantizer, "quantize", model, {
      ...phaseOptions(this.config, quantize),
      quantizer,
      groupSize,
      scaleDtype,
      ...(temperatureScales ? { temperatureScales } : {}),
      annealing: { compressRatio, annealRatio, style, endTemperature, hardSteps },
      seed: seedFor(seed, "quantize"),
    });
  }

  async #train(title: string, phase: string, model: LlamaModel, options: TrainOptions & { seed: number }): Promise<TrainedModel> {
    const { seed, ...settings } = options;
    const data = batches(this.tokens.training, { ...this.#batchSize(), seed });
    let trained: TrainedModel | undefined;
    this.log.begin(title, settings.steps);
    const { recomputeEvery } = this.config;
    const onMemory = (bytes: ProgramBytes) => console.error(`${title}: ${memoryText(bytes)}`);
    for await (const event of train(model, data, { ...settings, recomputeEvery, onMemory, signal: this.context.signal })) {
      if (event.type === "end") trained = { ...event.model, quantization: event.quantization };
      else this.log.step(metricsOf(event, phase));
    }
    this.log.end();
    return trained!;
  }

  async #heldOut(title: string, model: LlamaModel): Promise<HeldOut> {
    console.error(`evaluation: ${title}`);
    const { lossNats, perplexity } = await heldOutLoss(model, this.tokens.heldOut, {
      ...this.#batchSize(),
      maxBatches: this.config.evaluation.batches,
      signal: this.context.signal,
    });
    return { lossNats, perplexity };
  }

  async #sample(model: Parameters<typeof generate>[0]): Promise<string> {
    const { prompt, tokens: maxTokens, temperature } = this.config.sample;
    console.error(`sample: ${maxTokens} tokens`);
    let text = prompt;
    for await (const piece of generate(model, prompt, { maxTokens, temperature, seed: this.config.seed })) text += piece;
    return text;
  }

  #batchSize(): { batchSize: number; sequenceLength: number } {
    return { batchSize: this.config.batchSize, sequenceLength: this.config.sequenceLength };
  }
}

/** Tokens that a model is used with: the sequences it is trained on, or the sample if that is longer. */
const contextLength = ({ sequenceLength, sample }: RunConfig) =>
  Math.max(sequenceLength, sample.tokens + sample.prompt.length * 4);

/** Settings that both phases of training have. */
function phaseOptions({ optimizer }: RunConfig, phase: RunConfig["pretrain"]): TrainOptions {
  const { steps, learningRate, warmupSteps, decayRatio, minLearningRateRatio: minRatio, style } = phase;
  return { steps, learningRate, schedule: { style, warmupSteps, decayRatio, minRatio }, optimizer };
}

/** Peak of device memory in a training step, and its parts. */
function memoryText({ total, ...parts }: ProgramBytes): string {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  return `a step takes ${megabytes(total)} of device memory (${
    Object.entries(parts).filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${megabytes(bytes)}`).join(", ")
  })`;
}

/** A line of `metrics.jsonl`. */
function metricsOf(
  { type: _, ...event }: Extract<TrainEvent, { type: "step" }>,
  phase: string,
): Parameters<TrainingLog["step"]>[0] {
  return { ...event, phase };
}

if (import.meta.main) {
  await main(command, async ({ config: path, output, ...overrides }, context) => {
    const config = overrideConfig(await loadConfig(path), overrides);
    const folder = output ?? `runs/${path.replace(/^.*[/\\]/, "").replace(/\.json$/, "")}`;
    await checkRunFolder(folder);
    const tokens = splitTokens(byteTokenizer.encode(await loadCorpus(config.data.corpus)), config.data.heldOutFraction);
    checkCorpusLength(tokens, { corpus: config.data.corpus, sequenceLength: config.sequenceLength });
    using run = await openRunFolder(folder, config);
    if (run.movedTo) console.error(`the earlier run of ${folder} is now ${run.movedTo}`);
    const warning = await slowBackendWarning(config);
    if (warning) console.error(warning);
    using log = openLog({ metricsPath: `${folder}/metrics.jsonl` });
    const summary = await new Run(config, folder, tokens, log, context).all().catch((error) => {
      if (context.signal.aborted) console.error(`Interrupted. What was done until now is in ${folder}.`);
      throw error;
    });
    await writeFileAtomic(`${folder}/summary.json`, JSON.stringify(summary, null, 2) + "\n");
    await run.update({ state: "finished" });
    context.print(summaryTable(summary));
    return { summary };
  });
}
