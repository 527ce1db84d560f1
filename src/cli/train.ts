/**
 * `deno task train`, the main job: full precision, calibration, quantized training, packing, evaluation and a sample.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { sampledDigest } from "../io/sampled.ts";
import type { LanguageModel } from "../llama/checkpoint.ts";
import { initialModel } from "../llama/parameters.ts";
import { byteTokenizer } from "../tokenizer/bytes.ts";
import { runPhases } from "./attempts.ts";
import type { RunConfig } from "./config.ts";
import { UsageError } from "./errors.ts";
import { nameOf } from "./files.ts";
import { slowBackendWarning } from "./estimate.ts";
import { main } from "./main.ts";
import { checkMemory, deviceMemory } from "./memory_plan.ts";
import { modelFolder, startModel } from "./models.ts";
import { openCorpus, openRunData, type RunData } from "./run_data.ts";
import { packedPath } from "./packing.ts";
import { writeReport } from "./report.ts";
import { checkRunFolder, openRunFolder, type RunFolder } from "./run_folder.ts";
import { listenersOf, type RunListener } from "./run_records.ts";
import { serveRun } from "./run_server.ts";
import { closing, generateCommand, summaryTable } from "./summary.ts";
import { tensorBoard, trackio } from "./trackers.ts";
import { command, modelConfigOf, runConfig, type TrainFlags } from "./train_options.ts";

/** The model that a run begins with. */
async function begin(config: RunConfig): Promise<LanguageModel> {
  const { model, seed } = config;
  if ("path" in model) return await startModel(model.path);
  return { ...initialModel(await modelConfigOf(config), { seed, deviation: model.initializerRange }), tokenizer: byteTokenizer };
}

/** The text that a run reads. */
async function dataOf(
  { data, sequenceLength }: RunConfig,
  start: LanguageModel,
  reading: { readonly signal: AbortSignal; readonly cache?: string },
): Promise<RunData> {
  const { corpus, sources, ...options } = data;
  if (!sources) return await openCorpus(corpus, start, { ...options, sequenceLength });
  return await openRunData(sources.join(","), start, { ...options, ...reading, sequenceLength });
}

/** Changes where a model's files do. */
async function modelDigest(path: string): Promise<string> {
  return await sampledDigest(await modelFolder(path));
}

/** Who is told of each record while the run trains. */
function watchersOf(
  { path, name, manifest: { config } }: RunFolder,
  { serve, host }: Pick<TrainFlags, "serve" | "host">,
): RunListener[] {
  const { pretrain: { steps: pretrainSteps }, trackers } = config;
  const run = nameOf(name);
  const listeners: RunListener[] = [];
  if (serve !== undefined) {
    const server = serveRun(path, { name: run, host, port: serve });
    console.error(`the run is shown at ${server.address}`);
    listeners.push(server);
  }
  if (trackers.tensorboard) listeners.push(tensorBoard(`${path}/tensorboard`, { pretrainSteps }));
  if (trackers.trackio !== undefined) {
    listeners.push(trackio(trackers.trackio, { project: trackers.project, run, pretrainSteps }));
  }
  return listeners;
}

/** Writes the page of a run, and says where it is. That it cannot be written is no failure of the run. */
async function reportOf({ path, name }: RunFolder): Promise<string[]> {
  try {
    await writeReport([path], `${path}/report.html`);
    return [`${name}/report.html: what the run was like, for a browser`];
  } catch (error) {
    console.error(`no page of the run: ${(error as Error).message}`);
    return [];
  }
}

if (import.meta.main) {
  await main(command, async (flags, context) => {
    if (flags.host !== undefined && flags.serve === undefined) {
      throw new UsageError("--host says where --serve listens: wanted both");
    }
    const { config, name } = await runConfig(flags);
    const folder = flags.output ?? `runs/${name}`;
    await checkRunFolder(folder);
    const memory = flags.adapterMemory === undefined ? await deviceMemory() : flags.adapterMemory * 1e9;
    await checkMemory(config, await modelConfigOf(config), memory);
    const start = await begin(config);
    const data = await dataOf(config, start, { signal: context.signal, cache: flags.cache });
    const inputs = { data: data.key, ...("path" in config.model ? { "model.path": await modelDigest(config.model.path) } : {}) };
    using run = await openRunFolder(folder, { config, inputs, fresh: flags.fresh });
    if (run.movedTo) console.error(`the earlier run of ${folder} is now ${run.movedTo}`);
    const warning = await slowBackendWarning(config, start.config);
    if (warning) console.error(warning);
    await using listeners = listenersOf(watchersOf(run, flags));
    const parts = { run, start, data, context, again: () => begin(config), listeners };
    const summary = await runPhases(parts).catch(async (error) => {
      if (!(error instanceof UsageError)) await reportOf(run);
      throw error;
    });
    await writeFileAtomic(`${run.path}/summary.json`, JSON.stringify(summary, null, 2) + "\n");
    await run.update({ state: "finished" });
    const page = await reportOf(run);
    const packed = packedPath(run.name, config.output.format);
    const next = [generateCommand(packed, start)];
    context.print(
      `${summaryTable(summary)}\n\n${
        closing({ written: [`${folder}: the model in model/, packed as ${packed}`, ...page], next })
      }`,
    );
    return { summary };
  });
}
