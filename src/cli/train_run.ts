/**
 * The phases of a run: full precision, calibration, quantized training, packing, evaluation and a sample.
 *
 * @module
 */

import type { ProgramBytes } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { makeFolder } from "../io/files.ts";
import { type LanguageModel, loadCheckpoint, saveCheckpoint } from "../llama/checkpoint.ts";
import { generate } from "../llama/generate.ts";
import type { LlamaModel } from "../llama/model.ts";
import { parameterShapes } from "../llama/parameters.ts";
import type { Calibration } from "../pipeline/calibrate.ts";
import { heldOutLoss } from "../pipeline/evaluate.ts";
import type { PackedModel } from "../pipeline/open_packed.ts";
import { roundedModel } from "../pipeline/rounded.ts";
import { train, type TrainedModel, type TrainEvent, type TrainOptions } from "../pipeline/train.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { backendInfo } from "../runtime.ts";
import { seedFor } from "../train/data.ts";
import { givenRules } from "../recipes.ts";
import { disposeAll, type TrainingState } from "../train/trainer.ts";
import type { StepMetrics, TrainingLog } from "../train/log.ts";
import type { RunConfig } from "./config.ts";
import { annealingOptions, phaseOptions, weightOptions } from "./phase_options.ts";
import type { Context } from "./main.ts";
import { bytesOf, openPackedModel, refusing } from "./models.ts";
import { packedPath, writePacked } from "./packing.ts";
import { reportedProgress } from "./progress.ts";
import type { RunData } from "./run_data.ts";
import { calibrateInRun } from "./run_calibration.ts";
import type { Manifest, RunFolder } from "./run_folder.ts";
import type { RunStates, TrainingPhase } from "./run_states.ts";
import type { RunWatch } from "./run_watch.ts";
import type { HeldOut, RunSummary } from "./summary.ts";

/** One run: its settings and what its phases share. */
export class Run {
  readonly config: RunConfig;
  readonly folder: string;

  constructor(
    private readonly run: RunFolder,
    private readonly states: RunStates,
    private readonly start: LanguageModel,
    private readonly data: RunData,
    private readonly log: TrainingLog,
    private readonly watch: RunWatch,
    private readonly context: Context,
  ) {
    this.config = run.manifest.config;
    this.folder = run.path;
  }

  /** Runs a phase and remembers how long it took. */
  async #timed<T>(phase: string, work: () => Promise<T>): Promise<T> {
    this.context.signal.throwIfAborted();
    const started = performance.now();
    const before = this.run.manifest.seconds;
    const spent = () => ({ ...before, [phase]: (before[phase] ?? 0) + (performance.now() - started) / 1000 });
    const result = await work().catch(async (error) => {
      await this.run.update({ seconds: spent() }).catch(() => {}); // the first error is the one to tell
      throw error;
    });
    await this.run.update({ seconds: spent() });
    this.context.signal.throwIfAborted();
    return result;
  }

  async all(): Promise<RunSummary> {
    const { config } = this;
    const backend = await backendInfo();
    const { quantizer } = config.quantize;
    const { parameters, ...base } = await this.#timed("pretrain", () => this.#pretrain());
    const full = { ...base, parameters };
    const guided = quantizerNamed(quantizer).anneals; // others have no temperature to scale
    const calibration = guided ? await this.#timed("calibrate", () => this.#calibrate(full)) : undefined;
    const before = await this.#timed("evaluate", () => this.#evaluateBase(full)); // training takes over its tensors
    const latent = await this.#timed("quantize", () => this.#quantize(full, calibration?.temperatureScales));
    const { trained, packed, packedSizes } = await this.#timed("pack", async () => {
      const trained = await this.#save({ ...base, ...latent });
      const { sizes: packedSizes, ...packed } = await this.#pack(trained);
      return { trained, packed, packedSizes };
    });
    const heldOut = await this.#timed("evaluate", async () => ({
      ...before,
      quantized: await this.#heldOut("quantized", roundedModel(trained)),
      packed: await this.#heldOut("packed", packed),
    }));
    const sample = await this.#timed("sample", () => this.#sample(packed));
    return {
      output: this.run.name,
      backend: { name: backend.name, description: backend.description },
      seed: config.seed,
      quantizer,
      base: baseTitle(config),
      parameters: Object.values(parameterShapes(base.config)).reduce((sum, shape) => sum + sizeOf(shape), 0),
      heldOut,
      gapClosed: (heldOut.rounded.lossNats - heldOut.quantized.lossNats) /
        (heldOut.rounded.lossNats - heldOut.fullPrecision.lossNats),
      packed: packedSizes,
      seconds: this.run.manifest.seconds,
      sample,
    };
  }

  /** Losses before quantized training, which the manifest keeps. */
  async #evaluateBase(base: LanguageModel): Promise<NonNullable<Manifest["heldOut"]>> {
    const { config: { quantize: { quantizer } }, run } = this;
    if (run.manifest.heldOut) return run.manifest.heldOut;
    const fullPrecision = await this.#heldOut(baseTitle(this.config), base);
    const model = roundedModel({ ...base, quantization: { quantizer, ...weightOptions(this.config) } });
    const heldOut = { fullPrecision, rounded: await this.#heldOut("rounded", model) };
    disposeAll(Object.values(model.parameters).filter((value) => !Object.values(base.parameters).includes(value)));
    await run.update({ heldOut });
    return heldOut;
  }

  /** The model in full precision: trained, or the one that there was. */
  async #pretrain(): Promise<LanguageModel> {
    const { config: { pretrain, seed }, start, folder } = this;
    if (pretrain.steps === 0 && "path" in this.config.model) return start;
    const seeded = { ...phaseOptions(this.config, pretrain), seed: seedFor(seed, "pretrain") };
    const base = { ...start, ...await this.#train("full precision", "pretrain", start, seeded) };
    if (!this.context.signal.aborted) await saveCheckpoint(`${folder}/base`, base, base);
    return base;
  }

  /** Writes the trained model. @returns What was stored: with fewer bits than float32, that is what is packed. */
  async #save(trained: LanguageModel): Promise<LanguageModel> {
    const { config: { output: { dtype = trained.origin?.dtype ?? "float32" } }, folder } = this;
    await refusing(() => saveCheckpoint(`${folder}/model`, trained, trained, { dtype }));
    return dtype === "float32" ? trained : await loadCheckpoint(`${folder}/model`);
  }

  /** Writes the packed model, and opens it. */
  async #pack(trained: LanguageModel): Promise<PackedModel & { readonly sizes: RunSummary["packed"] }> {
    const { folder, config: { output: { format, embeddings } } } = this;
    await makeFolder(`${folder}/packed`);
    const path = packedPath(folder, format);
    await writePacked(path, trained, { format, embeddings, name: folder.replace(/^.*\//, "") });
    const packed = (await openPackedModel(path))!;
    return { ...packed, sizes: { fileBytes: await bytesOf(path), ...packed.sizes } };
  }

  async #calibrate(model: LlamaModel): Promise<Calibration> {
    const { calibration, recomputeEvery, seed } = this.config;
    const size = this.#batchSize();
    const steps = Array.from(
      { length: calibration.batches },
      (_, step) => ({ ...size, seed: seedFor(seed, "calibration"), step }),
    );
    const data = await Promise.all(steps.map((each) => this.data.batchAt(each)));
    const { signal } = this.context;
    return await calibrateInRun(model, data, { ...calibration, recomputeEvery, seed, signal }, this.run);
  }

  async #quantize(model: LlamaModel, temperatureScales: Calibration["temperatureScales"] | undefined): Promise<TrainedModel> {
    const { quantize, seed } = this.config;
    const { quantizer } = quantize;
    return await this.#train(quantizer, "quantize", model, {
      ...phaseOptions(this.config, quantize),
      quantizer,
      ...weightOptions(this.config),
      ...(temperatureScales ? { temperatureScales } : {}),
      annealing: annealingOptions(this.config),
      seed: seedFor(seed, "quantize"),
    });
  }

  async #train(
    title: string,
    phase: TrainingPhase,
    model: LlamaModel,
    options: TrainOptions & { seed: number },
  ): Promise<TrainedModel> {
    const { seed, ...settings } = options;
    const going = this.states.options(phase);
    const data = this.data.batches({ ...this.#batchSize(), seed, start: going.state?.step });
    let trained: TrainedModel | undefined;
    this.log.begin(title, settings.steps);
    const { recomputeEvery } = this.config;
    let most = 0;
    const onMemory = (bytes: ProgramBytes): void => {
      if (bytes.total > most) console.error(`${title}: ${memoryText(bytes)}`); // steps of later kinds seldom take more
      most = Math.max(most, bytes.total);
    };
    const { signal } = this.context;
    const objective = { ...settings.objective, endTokens: this.start.endTokens?.slice(0, 1) }; // what follows each document
    const watched = await this.watch.options(phase);
    const all = { ...settings, ...going, ...watched, objective, recomputeEvery, onMemory, signal };
    for await (const event of train(model, data, all)) {
      if (event.type === "end") trained = { ...event.model, quantization: event.quantization };
      else this.#tell(metricsOf(event, phase));
    }
    this.log.end();
    await this.states.settled();
    if (most > 0) await this.run.update({ memoryBytes: { ...this.run.manifest.memoryBytes, [phase]: most } });
    const best = signal.aborted ? undefined : await this.watch.bestOf(phase);
    return best ? await restored(trained!, best, all) : trained!;
  }

  #tell(metrics: StepMetrics): void {
    this.log.step(metrics);
    this.watch.tell(metrics);
  }

  async #heldOut(title: string, model: LlamaModel): Promise<HeldOut> {
    using shown = reportedProgress({ title: `evaluation, ${title}`, unit: "tokens" });
    const size = { ...this.#batchSize(), maxBatches: this.config.evaluation.batches };
    const { text, total } = await this.data.heldOut(size);
    const { lossNats, perplexity } = await heldOutLoss(model, text, {
      ...size,
      total,
      signal: this.context.signal,
      onProgress: shown.update,
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

/** What people call the model in full precision. */
export const baseTitle = ({ model }: Pick<RunConfig, "model">): string => "path" in model ? "base" : "full precision";

/** Peak of device memory in a training step, and its parts, the largest first. */
function memoryText({ total, ...parts }: ProgramBytes): string {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const told = Object.entries(parts).filter(([, bytes]) => bytes > 0.01 * total).sort(([, a], [, b]) => b - a);
  return `a step takes ${megabytes(total)} MB of device memory: ${
    told.map(([name, bytes]) => `${name} ${megabytes(bytes)}`).join(", ")
  }`;
}

/** The model of an earlier state, in place of the one that training ended with. */
async function restored(
  { quantization: _, ...last }: TrainedModel,
  state: TrainingState,
  options: TrainOptions,
): Promise<TrainedModel> {
  const { steps, quantizer, groupSize, scaleDtype, recipe, optimizer } = options;
  const rules = { steps, quantizer, groupSize, scaleDtype, recipe, optimizer, ...givenRules("weights", options) };
  const ended = { ...rules, temperatureScales: options.temperatureScales, state, donate: true, signal: AbortSignal.abort() };
  for await (const event of train(last, [], ended)) {
    if (event.type === "end") return { ...event.model, quantization: event.quantization };
  }
  throw new Error(`Cannot take the model of step ${state.step}`);
}

/** A line of `metrics.jsonl`. */
function metricsOf(
  { type: _, ...event }: Extract<TrainEvent, { type: "step" }>,
  phase: string,
): Parameters<TrainingLog["step"]>[0] {
  return { ...event, phase };
}
