/**
 * How long a run will take where there is no WebGPU adapter.
 *
 * @module
 */

import { zeros } from "../create.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { parameterShapes } from "../llama/parameters.ts";
import { backendInfo } from "../runtime.ts";
import type { RunConfig } from "./config.ts";
import { formatSeconds } from "./table.ts";

/** Floating-point operations of a run: 6 for each parameter and trained token, and a Hessian-vector product costs about three such. */
function runOperations({ batchSize, sequenceLength, pretrain, quantize, calibration }: RunConfig, model: LlamaConfig): number {
  const parameters = Object.values(parameterShapes(model))
    .reduce((sum, shape) => sum + shape.reduce((product, length) => product * length, 1), 0);
  const probe = calibration.curvature === "hessian" ? 3 : 1;
  return 6 * parameters * batchSize * sequenceLength * (pretrain.steps + quantize.steps + probe * calibration.probes);
}

/** A warning with an estimate of the time when the reference backend is in use, measured on one small product of matrices. */
export async function slowBackendWarning(config: RunConfig, model: LlamaConfig): Promise<string | undefined> {
  const { name } = await backendInfo();
  if (name !== "reference") return undefined;
  const side = 192;
  const started = performance.now();
  await zeros([side, side]).add(1).matmul(zeros([side, side]).add(2)).data();
  const secondsPerOperation = (performance.now() - started) / 1000 / (2 * side ** 3);
  const estimate = formatSeconds(1.5 * secondsPerOperation * runOperations(config, model)); // the rest of a step takes about half as long again
  return `warning: there is no WebGPU adapter, so everything runs in float64 on one thread: this run will take about ${estimate}`;
}
