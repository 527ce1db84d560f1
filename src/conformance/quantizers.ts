/**
 * Cases of quantizers.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { absmeanCodes } from "../quant/codebook.ts";
import type { Codes } from "../quant/groups.ts";
import { hestia } from "../quant/hestia.ts";
import { integer, integerCodes } from "../quant/integer.ts";
import { phaseQuantize } from "../quant/phase.ts";
import { ternary } from "../quant/ternary.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

/** The release that these cases were recorded from. */
const recipe = "hestia-2025";

interface ThermoInputs {
  readonly x: Tensor;
  readonly g: Tensor;
  readonly c: Tensor;
  readonly v: Tensor;
}

/** The relaxed weight, its gradient and its curvature, as one compiled step for each group size and phase: temperatures are inputs. */
const thermoSteps = new Map<string, ReturnType<typeof thermoStep>>();

function thermoStep({ groupSize, hard, training }: { groupSize: number; hard: boolean; training: boolean }) {
  return compile(
    ({ x, g, c, v, temperature, pressure }: ThermoInputs & { temperature: Tensor; pressure: Tensor }): Record<string, Tensor> => {
      const relaxed = hestia(x, { recipe, temperature, pressure, groupSize, hard });
      // when evaluating, the recorded code leaves out the straight-through identity of the hard path and keeps the derivative of the scale
      const q = hard && !training ? relaxed.sub(x.sub(x.stopGradient()).mul(pressure)) : relaxed;
      const [dx] = gradients(q.mul(g).sum(), [x]);
      return hard ? { q, dx } : { q, dx, hvp: hessianVectorProduct(q.sin().mul(c).sum(), [x], [v])[0] };
    },
  );
}

/** `thermo`: the relaxation of Hestia. */
export function thermoCase(recorded: Case): Computed[] {
  const temperature = recorded.number("temp");
  const phase = {
    groupSize: recorded.number("group_size"),
    hard: temperature === 0,
    training: recorded.parameter("is_training") !== false,
  };
  const key = JSON.stringify(phase);
  let step = thermoSteps.get(key);
  if (!step) thermoSteps.set(key, step = thermoStep(phase));
  const input = (role: string) => recorded.input(recorded.hasInput(role) ? role : "x");
  const outputs = step({
    x: input("x"),
    g: input("g"),
    c: input("c"),
    v: input("v"),
    temperature,
    pressure: recorded.number("pressure"),
  });
  // each order of derivative divides by the temperature once: rounding errors of x are enlarged by it
  const sensitivity = phase.hard ? 1 : 1 + 1 / temperature;
  return recorded.outputs.map((role) => ({ role, value: outputs[role], sensitivity }));
}

/** Weights from codes and scales. */
function unpack({ codes, scales }: Codes): Tensor {
  return codes.cast("float32").reshape([scales.size, -1]).mul(scales.reshape([scales.size, 1]));
}

/** `ternary`: absmean rounding, and the same from its codes and scales. */
export function ternaryCase(recorded: Case): Computed[] {
  const [x, groupSize] = [recorded.input("x"), recorded.number("group_size")];
  return [{ role: "q", value: ternary(x, { recipe, groupSize }) }, {
    role: "q",
    value: unpack(absmeanCodes(x, { recipe, groupSize })),
  }];
}

/** `bitwidth`: integer rounding, and the same from its codes and scales. */
export function integerCase(recorded: Case): Computed[] {
  const options = {
    groupSize: recorded.number("group_size"),
    bits: recorded.number("bitwidth"),
    symmetric: recorded.parameter("is_symmetric") !== false,
    includeZero: false,
  };
  const x = recorded.input("x");
  return [{ role: "q", value: integer(x, options) }, { role: "q", value: unpack(integerCodes(x, options)) }];
}

/** `phase`: complex phase quantization and its gradient. Evaluation differs from training in nothing that is recorded. */
export function phaseCase(recorded: Case): Computed[] {
  const temperature = recorded.number("temp");
  const passes = Number(String(recorded.parameter("version")).replace(/^v/, ""));
  const w = recorded.input("w");
  const q = phaseQuantize(w, { recipe, passes, temperature });
  const [dw] = gradients(q.mul(recorded.input("g")).sum(), [w]);
  const results: Record<string, Tensor> = { q, dw };
  // as for the relaxation; and what is left for a pass is several times smaller each time, while rounding errors are not
  const sensitivity = temperature === 0 ? 1 : (1 + 1 / temperature) * 4 ** (passes - 1);
  return recorded.outputs.map((role) => ({ role, value: results[role], sensitivity }));
}
