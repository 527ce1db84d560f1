/**
 * `deno task calibrate`: the curvature of a trained model, and the temperature scales that it asks for.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import type { LlamaModel } from "../llama/model.ts";
import {
  calibrate,
  type Calibration,
  calibrationGranularities,
  type CalibrationOptions,
  curvatures,
  curvatureTitles,
  defaultCurvature,
  estimators,
} from "../pipeline/calibrate.ts";
import { isTraceState, type TraceState } from "../quant/trace_state.ts";
import { traceHeatMap } from "../report/heat_map.ts";
import type { Batch } from "../train/data.ts";
import type { Command } from "./args.ts";
import { PACKAGED_CORPUS } from "./corpus.ts";
import { dataOption, textOptions } from "./data.ts";
import { UsageError } from "./errors.ts";
import { defaultRecipe, recipeNames } from "../recipes.ts";
import { showCalibration } from "./calibration_progress.ts";
import { main } from "./main.ts";
import { allowUnknownOption, loadModelFolder, modelOption, refusing, required } from "./models.ts";
import { openRunData } from "./run_data.ts";
import { closing, shellWord } from "./summary.ts";
import { table } from "./table.ts";

const command = {
  name: "calibrate",
  summary:
    "Measures the curvature of the loss along every weight that would be quantized; writes temperature scales, and a heat map as SVG.",
  options: {
    model: {
      ...modelOption,
      description: "Folder of a model in full precision (config.json, model.safetensors, tokenizer.json)",
    },
    allowUnknown: allowUnknownOption,
    data: { ...dataOption, default: PACKAGED_CORPUS, description: dataOption.description + ', or "moby-dick"' },
    ...textOptions,
    heldOut: {
      type: "number",
      minimum: 0,
      maximum: 0.9,
      default: 0.1,
      description: "Share of the text to leave out, as training does",
    },
    output: {
      type: "string",
      value: "FILE",
      default: "calibration.json",
      description: "File to write; the heat map is named after it",
    },
    curvature: {
      type: "string",
      choices: curvatures,
      value: "NAME",
      description:
        "What is traced: the Gauss-Newton part of the Hessian, by gradients, or the Hessian, by Hessian-vector products " +
        `(default: ${defaultCurvature}; hessian by Hutch++)`,
    },
    probes: { type: "integer", value: "N", minimum: 1, default: 256, description: "Products or gradients at most" },
    tolerance: {
      type: "number",
      minimum: 0,
      default: 0.01,
      description: "Stop once every scale is known to this standard error",
    },
    granularity: {
      type: "string",
      choices: calibrationGranularities,
      value: "NAME",
      default: "tensor",
      description: "What shares a trace: each tensor alone, those of a layer, or those of a kind",
    },
    batches: { type: "integer", value: "N", minimum: 1, default: 8, description: "Batches whose curvatures are averaged" },
    batchSize: { type: "integer", value: "N", minimum: 1, default: 4, description: "Sequences in a batch" },
    sequenceLength: { type: "integer", value: "N", minimum: 1, default: 128, description: "Tokens of a sequence" },
    recomputeEvery: {
      type: "integer",
      value: "N",
      minimum: 0,
      default: 0,
      description: "Save memory: compute the inner results of every N-th layer again (1: all layers)",
    },
    recipe: {
      type: "string",
      value: "NAME",
      choices: recipeNames,
      default: defaultRecipe,
      description: "Release of the method whose rules make scales of traces",
    },
    estimator: {
      type: "string",
      value: "NAME",
      choices: estimators,
      default: "joint",
      description: "Probes of all tensors at once, or Hutch++ of the Hessian, one tensor after another, as released",
    },
    sketch: { type: "integer", value: "N", minimum: 1, default: 10, description: "Columns of the sketch of Hutch++" },
    queries: { type: "integer", value: "N", minimum: 0, default: 20, description: "Probes of what the sketch leaves" },
    alpha: { type: "number", description: "Strength of the scales; negative turns their order round (default: the recipe's)" },
    sensitive: {
      type: "string",
      value: "HOW",
      choices: ["hotter", "cooler"],
      description: "What tensors of high curvature are (default: the recipe's)",
    },
    kappa: { type: "number", description: "Steepness of the score (default: the recipe's)" },
    seed: { type: "integer", value: "N", minimum: 0, default: 0, description: "Seed of probes and batches" },
  },
} as const satisfies Command;

/** The state of an interrupted calibration; undefined where there is none. */
async function readState(path: string): Promise<TraceState | undefined> {
  let state: unknown;
  try {
    state = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new UsageError(`cannot go on from ${path}: ${(error as Error).message}`);
  }
  if (isTraceState(state)) return state;
  throw new UsageError(`cannot go on from ${path}: it holds no state of a calibration; remove it to start anew`);
}

/** Calibrates, keeps the state in a file on the way, and goes on from that file where an earlier run left one. */
async function calibrateResumably(
  model: LlamaModel,
  batches: readonly Batch[],
  { statePath, ...options }: CalibrationOptions & { readonly statePath: string },
): Promise<Calibration> {
  const resume = await readState(statePath);
  if (resume) console.error(`going on from ${statePath}, ${resume.probes} probes done`);
  using shown = showCalibration(options);
  let saved = -Infinity;
  return await calibrate(model, batches, {
    ...options,
    resume,
    onProgress: async ({ probes, of, scaleError, state }) => {
      shown.update({ probes, of, scaleError });
      if (probes < of && performance.now() - saved < 1000) return;
      if (state) await writeFileAtomic(statePath, JSON.stringify(state));
      saved = performance.now();
    },
  }).catch((error: Error) => {
    if (!resume || !error.message.startsWith("Cannot go on")) throw error;
    throw new UsageError(`cannot go on from ${statePath}: ${error.message.replace(/^.*: /, "")}; remove it to start anew`);
  });
}

/** A row for each tensor, for people. */
function calibrationTable({ traces, standardErrors, scores, temperatureScales, temperatureScaleErrors }: Calibration): string {
  return table(
    ["tensor", "trace", "standard error", "score", "temperature scale", "standard error"],
    Object.keys(traces).map((name) => [
      name.replace(/^model\.|\.weight$/g, ""), // whole names would be cut
      traces[name].toPrecision(4),
      standardErrors[name].toPrecision(2),
      scores[name].toFixed(3),
      temperatureScales[name].toFixed(3),
      temperatureScaleErrors[name].toFixed(4),
    ]),
  );
}

if (import.meta.main) {
  await main(
    command,
    async (
      {
        model: path,
        data,
        field,
        parseSpecial,
        allowUnknown,
        cache,
        heldOut: heldOutFraction,
        output,
        batches,
        batchSize,
        sequenceLength,
        seed,
        ...options
      },
      { signal, print },
    ) => {
      const model = await loadModelFolder(required(path, "--model", command.name), { allowUnknown });
      if (model.quantization) {
        throw new UsageError(`the model ${path} was trained with ${model.quantization.quantizer}: wanted one in full precision`);
      }
      const text = await openRunData(data, model, { field, parseSpecial, cache, heldOutFraction, sequenceLength, signal });
      const steps = Array.from({ length: batches }, (_, step) => ({ batchSize, sequenceLength, seed, step }));
      const cut = await Promise.all(steps.map((each) => text.batchAt(each)));
      const statePath = `${output}.state`;
      const result = await refusing(() => calibrateResumably(model, cut, { ...options, seed, signal, statePath }));
      const picture = `${output.replace(/\.json$/, "")}.svg`;
      await refusing(async () => {
        await writeFileAtomic(output, JSON.stringify(result, null, 2) + "\n");
        await writeFileAtomic(
          picture,
          traceHeatMap(result.traces, { ...result, title: curvatureTitles[result.curvature] }) + "\n",
        );
        await Deno.remove(statePath).catch(() => {}); // a calibration of a single probe may not have written it
      });
      print(calibrationTable(result));
      const next = [`deno task train --model ${shellWord(path!)} --data ${shellWord(data)}`];
      print(closing({ written: [output, picture], next }));
      return { summary: { model: path, output, picture, ...result } };
    },
  );
}
