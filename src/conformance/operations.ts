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
} as const satisfies Record<string, Handler>;

/** Operations that cases are recorded of and that the library does not have, with the reason: none today. */
export const pendingOperations: Readonly<Record<string, string>> = {};
