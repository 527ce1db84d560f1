/**
 * `deno task calibrate`: the curvature of a trained model, and the temperature scales that it asks for.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { calibrate, type Calibration } from "../pipeline/calibrate.ts";
import { batchAt, splitTokens } from "../train/data.ts";
import type { Command } from "./args.ts";
import { checkCorpusLength, loadCorpus, PACKAGED_CORPUS } from "./corpus.ts";
import { UsageError } from "./errors.ts";
import { main } from "./main.ts";
import { loadModelFolder, modelOption, refusing, required } from "./models.ts";
import { table } from "./table.ts";

const command = {
  name: "calibrate",
  summary: "Measures the Hessian trace of every weight that would be quantized, and writes temperature scales.",
  options: {
    model: {
      ...modelOption,
      description: "Folder of a model in full precision (config.json, model.safetensors, tokenizer.json)",
    },
    data: { type: "string", value: "FILE", default: PACKAGED_CORPUS, description: 'Text file, or "moby-dick"' },
    heldOut: { type: "number", minimum: 0, maximum: 0.9, default: 0.1, description: "Share of the text, its end, to leave out" },
    output: { type: "string", value: "FILE", default: "calibration.json", description: "File to write" },
    probes: { type: "integer", value: "N", minimum: 1, default: 32, description: "Hessian-vector products at most" },
    tolerance: {
      type: "number",
      minimum: 0,
      default: 0.01,
      description: "Stop once every scale is known to this standard error",
    },
    batches: { type: "integer", value: "N", minimum: 1, default: 4, description: "Batches whose Hessians are averaged" },
    batchSize: { type: "integer", value: "N", minimum: 1, default: 4, description: "Sequences in a batch" },
    sequenceLength: { type: "integer", value: "N", minimum: 1, default: 128, description: "Tokens of a sequence" },
    alpha: { type: "number", default: 0.5, description: "Strength of the scales; negative turns their order round" },
    kappa: { type: "number", default: 1, description: "Steepness of the score" },
    seed: { type: "integer", value: "N", minimum: 0, default: 0, description: "Seed of probes and batches" },
  },
} as const satisfies Command;

/** A row for each tensor, for people. */
function calibrationTable({ traces, standardErrors, scores, temperatureScales }: Calibration): string {
  return table(
    ["tensor", "trace", "standard error", "score", "temperature scale"],
    Object.keys(traces).map((name) => [
      name,
      traces[name].toPrecision(4),
      standardErrors[name].toPrecision(2),
      scores[name].toFixed(3),
      temperatureScales[name].toFixed(3),
    ]),
  );
}

if (import.meta.main) {
  await main(
    command,
    async ({ model: path, data, heldOut, output, batches, batchSize, sequenceLength, seed, ...options }, { signal, print }) => {
      const model = await loadModelFolder(required(path, "--model", command.name));
      if (model.quantization) {
        throw new UsageError(`the model ${path} was trained with ${model.quantization.quantizer}: wanted one in full precision`);
      }
      const { training } = splitTokens(model.tokenizer.encode(await loadCorpus(data)), heldOut);
      checkCorpusLength({ training }, { corpus: data, sequenceLength });
      const size = { batchSize, sequenceLength, seed };
      const cut = Array.from({ length: batches }, (_, step) => batchAt(training, { ...size, step }));
      const result = await refusing(() =>
        calibrate(model, cut, {
          ...options,
          seed,
          signal,
          onProgress: ({ probes, of }) => console.error(`calibration ${probes}/${of} Hessian-vector products`),
        })
      );
      await refusing(() => writeFileAtomic(output, JSON.stringify(result, null, 2) + "\n"));
      print(calibrationTable(result));
      return { summary: { model: path, output, ...result } };
    },
  );
}
