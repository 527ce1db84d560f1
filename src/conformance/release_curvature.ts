/**
 * Cases of the release of 2026: Hutch++, its random signs, and calibration.
 *
 * @module
 */

import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import type { LlamaModel } from "../llama/model.ts";
import { calibrate } from "../pipeline/calibrate.ts";
import { languageModelLoss, tokenTensors } from "../pipeline/data.ts";
import { hutchPlusPlus } from "../quant/hutch.ts";
import { hutchTraces } from "../quant/hutch_traces.ts";
import { crc32, seededProbes } from "../quant/mersenne.ts";
import type { LossFunction } from "../quant/traces.ts";
import { sequenceBatches } from "../train/documents.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import type { Effort } from "./operations.ts";
import { recipe } from "./release_quantizers.ts";
import { exactOf, tailIsArbitrary } from "./sketches.ts";

/** `hestia2_hutchpp`: the estimate for a given matrix, sketch and probes. */
export function releaseHutchCase(recorded: Case): Computed[] {
  const [matrix, sketch, queries] = ["H", "S", "G"].map((role) => recorded.input(role));
  const estimate = hutchPlusPlus((x) => matrix.matmul(x), {
    sketch,
    queries: recorded.number("num_query") === 0 ? 0 : queries,
  });
  const tolerance = tailIsArbitrary(recorded) ? "float32Arithmetic" : undefined;
  return [
    { role: "trace", value: estimate.trace, tolerance },
    { role: "trace_low", value: estimate.lowRank, tolerance },
    { role: "exact_trace", value: exactOf(matrix) },
  ];
}

/** Signs as they are recorded: 0 for -1. */
const bits = (signs: Float32Array) => signs.map((sign) => (sign + 1) / 2);

/** `hestia2_probes`: what the generator of a tensor draws. */
export function probesCase(recorded: Case): Computed[] {
  const name = String(recorded.parameter("name"));
  const [seed, length, sketch, queries] = ["seed", "numel", "num_sketch", "num_query"].map((field) => recorded.number(field));
  const probes = seededProbes(name, { seed, length, sketch, queries });
  return [
    { role: "crc32", value: [crc32(name)], expected: [recorded.number("crc32")] },
    { role: "S", value: bits(probes.sketch) },
    { role: "G", value: bits(probes.queries) },
  ];
}

/** Recorded rows of token ids as batches. */
function batchesOf(recorded: Case) {
  const [rows, length] = recorded.input("dataset").shape;
  const ids = Array.from(recorded.values("dataset"));
  const sequences = Array.from({ length: rows }, (_, row) => ids.slice(row * length, (row + 1) * length));
  return sequenceBatches(sequences, {
    batches: recorded.number("num_batches"),
    batchSize: recorded.number("batch_size"),
    sequenceLength: recorded.number("max_seq_len"),
  });
}

/** `hestia2_calibration_batches`: which tokens are calibrated on. */
export function calibrationBatchesCase(recorded: Case): Computed[] {
  return batchesOf(recorded).map(({ inputs, targets, shape: [rows, length] }, index) => {
    const row = (at: number) => [inputs[at * length], ...targets.subarray(at * length, (at + 1) * length)];
    return { role: `batch${index}`, value: Array.from({ length: rows }, (_, at) => row(at)).flat() };
  });
}

/**
 * `hestia2_hessian_traces`: the traces of a small model, by the library's own calibration, and, by effort, the exact ones: a sketch of as many
 * columns as a tensor has elements.
 */
export async function releaseTracesCase(recorded: Case, { effort }: { readonly effort: Effort }): Promise<Computed[]> {
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const parameters = recorded.inputsUnder("w.");
  const batches = batchesOf(recorded);
  const [sketch, queries, seed] = ["num_sketch", "num_query", "seed"].map((field) => recorded.number(field));
  const { traces, scores, temperatureScales } = await calibrate({ config, parameters }, batches, {
    recipe,
    estimator: "hutch++",
    sketch,
    queries,
    seed,
    alpha: recorded.number("alpha"),
    kappa: recorded.number("kappa"),
  });
  const names = recorded.texts("tensors").map((name) => `${name}.weight`);
  const ordered = (values: Readonly<Record<string, number>>) => names.map((name) => values[name]);
  const shown = { float32Error: recorded.number("float32_torch_rel_error"), onDevice: true };
  return [
    { role: "batch_losses", value: batches.map((batch) => languageModelLoss(config, parameters, tokenTensors(batch))) },
    { role: "traces", value: ordered(traces), ...shown },
    { role: "scores", value: ordered(scores), ...shown },
    { role: "temperature_scale", value: ordered(temperatureScales), ...shown },
    ...await exactTraces(recorded, { config, parameters }, names.filter((name) => isMeasured(name, effort))),
  ];
}

/** Whether the exact trace of a weight is worth its Hessian-vector products: one for each element and batch. */
function isMeasured(name: string, effort: Effort): boolean {
  return effort === "all" || effort === "usual" && /[kv]_proj/.test(name);
}

/** Exact traces of some of the weights. */
async function exactTraces(recorded: Case, { config, parameters }: LlamaModel, measured: readonly string[]): Promise<Computed[]> {
  if (measured.length === 0) return [];
  const names = recorded.texts("tensors").map((name) => `${name}.weight`);
  const exact = recorded.expected("exact_traces").values;
  const inputs = { parameters, batches: batchesOf(recorded).map(tokenTensors) };
  const loss: LossFunction = (each, batch) => languageModelLoss(config, each, batch);
  const value: number[] = [];
  for await (const { trace } of hutchTraces(loss, inputs, { names: measured, sketch: Infinity, queries: 0 })) value.push(trace);
  const partial = measured.length < names.length ? `${measured.length} of ${names.length}` : undefined;
  const expected = measured.map((name) => exact[names.indexOf(name)]);
  return [{ role: "exact_traces", value, expected, deviceTolerance: "float32Trace", onDevice: true, partial }];
}
