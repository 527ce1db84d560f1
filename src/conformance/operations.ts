/**
 * Which operation of a recorded case is computed by which handler.
 *
 * @module
 */

import { adamwCase } from "./adamw.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { hessianTracesCase, hutchCase, mlpTracesCase } from "./curvature.ts";
import { crossEntropyCase, rmsNormCase, ropeTableCase, swigluCase } from "./layers.ts";
import { llamaBlockCase } from "./block.ts";
import { llamaCase } from "./llama.ts";
import { integerCase, phaseCase, ternaryCase, thermoCase } from "./quantizers.ts";
import { initialTemperatureCase, learningRateCase, schedulerCase, softQuantizeCase, temperatureScalesCase } from "./schedules.ts";
import { calibrationBatchesCase, probesCase, releaseHutchCase, releaseTracesCase } from "./release_curvature.ts";
import { packingCase, perplexityCase } from "./release_data.ts";
import { releaseLlamaCase } from "./release_models.ts";
import { fairyCase, linearCase, quantizeCase, rejectsCase } from "./release_quantizers.ts";
import {
  applySensitivityCase,
  configFileCase,
  quantizableCase,
  releaseLearningRateCase,
  scheduleCase,
  scoresCase,
  tensorTemperatureCase,
  traceFileCase,
  traceKeysCase,
} from "./release_schedules.ts";
import { releaseTrajectoryCase } from "./release_trajectory.ts";
import { trajectoryCase } from "./trajectory.ts";

/** How much is computed of what takes long: what the tests run every day, what the command does, or all there is. */
export type Effort = "little" | "usual" | "all";

/** Computes the outputs of a case. An error is a failure. `float32` tells whether tensors are computed in float32. */
export type Handler = (
  recorded: Case,
  settings: { readonly float32: boolean; readonly effort: Effort },
) => readonly Computed[] | Promise<readonly Computed[]>;

/** Every operation that is computed. */
export const operations = {
  thermo: thermoCase,
  ternary: ternaryCase,
  bitwidth: integerCase,
  phase: phaseCase,
  scheduler: schedulerCase,
  init_temp: initialTemperatureCase,
  soft_quant_func: softQuantizeCase,
  temp_scales: temperatureScalesCase,
  lr: learningRateCase,
  rmsnorm: rmsNormCase,
  swiglu: swigluCase,
  cross_entropy: crossEntropyCase,
  rope_table: ropeTableCase,
  llama_block: llamaBlockCase,
  llama: llamaCase,
  adamw: adamwCase,
  hutchpp_matrix: hutchCase,
  mlp_traces: mlpTracesCase,
  hessian_traces: hessianTracesCase,
  trajectory: trajectoryCase,
  hestia2_quantize: quantizeCase,
  hestia2_rejects: rejectsCase,
  hestia2_fairy2i: fairyCase,
  hestia2_linear: linearCase,
  hestia2_schedule: scheduleCase,
  hestia2_tensor_temperature: tensorTemperatureCase,
  hestia2_scores: scoresCase,
  hestia2_apply_sensitivity: applySensitivityCase,
  hestia2_lr: releaseLearningRateCase,
  hestia2_quantizable: quantizableCase,
  hestia2_trace_keys: traceKeysCase,
  hestia2_trace_json: traceFileCase,
  hestia2_config_json: configFileCase,
  hestia2_hutchpp: releaseHutchCase,
  hestia2_probes: probesCase,
  hestia2_calibration_batches: calibrationBatchesCase,
  hestia2_hessian_traces: releaseTracesCase,
  hestia2_llama: releaseLlamaCase,
  hestia2_packing: packingCase,
  hestia2_perplexity: perplexityCase,
  hestia2_trajectory: releaseTrajectoryCase,
} as const satisfies Record<string, Handler>;

/** Operations that cases are recorded of and that the library does not have, with the reason: none today. */
export const pendingOperations: Readonly<Record<string, string>> = {};
