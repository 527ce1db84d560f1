/**
 * Cases of the release of 2026: quantizers, and one linear layer.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { zeros } from "../create.ts";
import { phaseQuantize } from "../quant/phase.ts";
import type { QuantizerState } from "../quant/quantizer.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { codebookOf, quantizerNameOf, releaseConfig } from "../release.ts";
import type { RecipeName } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

/** The recipe of these cases. */
export const recipe: RecipeName = "hestia-2026";

/** How a recorded layer quantizes, as the release's configuration and its layers say it. */
export interface RecordedLayer {
  readonly method?: string;
  readonly codebook?: string;
  readonly group_size?: number;
  readonly scale_eps?: number;
  readonly fairy2i_steps?: number;
}

/** Our quantizer of a recorded layer, and what its state has in common at all steps. */
export function layerOf({ method, codebook, group_size, scale_eps, fairy2i_steps }: RecordedLayer) {
  const given = Object.entries({ method, codebook, group_size, scale_eps, fairy2i_steps });
  const config = releaseConfig(Object.fromEntries(given.filter(([, value]) => value !== undefined)));
  const groupSize = config.codebook === "fairy2i" ? 0 : config.group_size; // the release ignores groups there
  const state = { recipe, groupSize, scaleEpsilon: config.scale_eps } as const satisfies Partial<QuantizerState>;
  return { quantizer: quantizerNamed(quantizerNameOf(config)), state };
}

/** Least distance of a recorded weight from the middle of two codes, in units of its scale. */
const margin = 1e-4;

/**
 * How much rounding errors of a weight are enlarged at a temperature: each order of derivative divides by it once. Below a width that the margin
 * exceeds by far, no recorded weight lies where anything changes. At a high temperature the codes weigh nearly the same, and what is left of
 * their sum is smaller than they are by the temperature.
 */
export function sensitivityAt(temperature: number): number {
  return temperature <= 0 ? 1 : 1 + Math.exp(-margin / temperature) / temperature + temperature;
}

/** How much more than a gradient a Hessian-vector product enlarges rounding errors, where codes are many: its terms cancel. */
const curvatureFactor = 4;

interface QuantizeInputs {
  readonly x: Tensor;
  readonly g: Tensor;
  readonly c: Tensor;
  readonly v: Tensor;
  readonly temperature: Tensor;
  readonly pressure: Tensor;
}

/** One compiled step for each way to quantize; temperatures and pressures are inputs. */
const steps = new Map<string, ReturnType<typeof quantizeStep>>();

function quantizeStep(layer: RecordedLayer, { hard, frozen }: { readonly hard: boolean; readonly frozen: boolean }) {
  const { quantizer, state } = layerOf(layer);
  return compile(({ x, g, c, v, temperature, pressure }: QuantizeInputs): Record<string, Tensor> => {
    const whole = quantizer.quantize(x, { ...state, temperature, pressure, hard });
    // where the recorded code has no path through rounding, the identity of ours is taken off again
    const q = frozen ? whole.sub(x.sub(x.stopGradient()).mul(pressure)) : whole;
    const [dx] = gradients(q.mul(g).sum(), [x]);
    return hard ? { q, dx } : { q, dx, hvp: hessianVectorProduct(q.sin().mul(c).sum(), [x], [v])[0] };
  });
}

/** `hestia2_quantize`: a weight, its gradient and its curvature, over any codebook. */
export function quantizeCase(recorded: Case): Computed[] {
  const temperature = recorded.number("tau");
  const method = String(recorded.parameter("method"));
  const layer = {
    method,
    codebook: String(recorded.parameter("codebook")),
    group_size: recorded.number("group_size"),
    scale_eps: recorded.number("scale_eps"),
  };
  const hard = method === "hestia" && temperature <= 0;
  const phase = { hard, frozen: hard && recorded.parameter("training") === false };
  const key = JSON.stringify([layer, phase]);
  let step = steps.get(key);
  if (!step) steps.set(key, step = quantizeStep(layer, phase));
  const input = (role: string) => recorded.input(recorded.hasInput(role) ? role : "x");
  const [x, g, c, v] = ["x", "g", "c", "v"].map(input);
  const outputs = step({ x, g, c, v, temperature, pressure: recorded.number("pressure") });
  const sensitivity = method === "ste" ? 1 : sensitivityAt(temperature);
  const codes = { role: "codebook_values", value: codebookOf(layer.codebook), expected: recorded.parameter("codebook_values") };
  return [
    ...recorded.outputs.map((role) => {
      const orders = role === "hvp" ? curvatureFactor : 1;
      return { role, value: outputs[role], sensitivity: sensitivity * orders, ...errorOf(recorded, role) };
    }),
    codes as Computed,
  ];
}

/** The error that float32 showed under PyTorch, where it was recorded. */
function errorOf(recorded: Case, role: string): Pick<Computed, "float32Error"> {
  return { float32Error: (recorded.parameter("float32_torch_rel_error") as Record<string, number> | undefined)?.[role] };
}

/** `hestia2_rejects`: what both refuse. */
export function rejectsCase(recorded: Case): Computed[] {
  const attempts: Readonly<Record<string, () => unknown>> = {
    quantize: () => {
      const { quantizer, state } = layerOf({ group_size: recorded.number("group_size") });
      return quantizer.quantize(zeros(recorded.parameter("shape") as number[]), { ...state, temperature: 0.3 });
    },
    config: () => releaseConfig(recorded.object("config")),
  };
  const what = String(recorded.parameter("what"));
  if (!Object.hasOwn(attempts, what)) throw new TypeError(`${recorded.name}: nothing is known to refuse ${what}`);
  return [{ role: "refused", value: [Number(throws(attempts[what]))], expected: [1] }];
}

/** Whether something is refused as a value that cannot be. */
function throws(attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch (error) {
    if (error instanceof RangeError) return true;
    throw error;
  }
}

/** `hestia2_fairy2i`: complex phases in any number of passes. */
export function fairyCase(recorded: Case): Computed[] {
  const [temperature, passes, pressure] = ["tau", "steps", "pressure"].map((field) => recorded.number(field));
  const x = recorded.input("x");
  const whole = phaseQuantize(x, { recipe, passes, temperature: Math.max(temperature, 0), pressure });
  const frozen = temperature <= 0 && recorded.parameter("training") === false;
  const q = frozen ? whole.sub(x.sub(x.stopGradient()).mul(pressure)) : whole;
  const results: Record<string, Tensor> = { q, dx: gradients(q.mul(recorded.input("g")).sum(), [x])[0] };
  // what is left for a pass is several times smaller each time, while rounding errors are not
  const sensitivity = temperature <= 0 ? 1 : (1 + 1 / temperature) * 4 ** (passes - 1);
  return recorded.outputs.map((role) => ({ role, value: results[role], sensitivity, ...errorOf(recorded, role) }));
}

/** `hestia2_linear`: a layer with a bias, as it is made or at a temperature and a pressure. */
export function linearCase(recorded: Case): Computed[] {
  const quant = recorded.object<RecordedLayer & { temperature?: number; pressure?: number; fresh?: boolean }>("quant");
  const { quantizer, state } = layerOf(quant);
  const { temperature = 0, pressure = 1 } = quant; // a new layer is hard
  const [x, w, gy] = ["x", "w", "gy"].map((role) => recorded.input(role));
  const b = recorded.hasInput("b") ? recorded.input("b") : undefined;
  const whole = quantizer.quantize(w, { ...state, temperature, pressure });
  const frozen = quantizer.anneals && temperature <= 0 && recorded.parameter("training") === false;
  const weight = frozen ? whole.sub(w.sub(w.stopGradient()).mul(pressure)) : whole;
  const product = x.matmul(weight.transpose());
  const y = b ? product.add(b) : product;
  const [dx, dw, db] = gradients(y.mul(gy).sum(), [x, w, ...b ? [b] : []]);
  const results: Record<string, Tensor> = { y, dx, dw, db };
  const sensitivity = quantizer.anneals ? sensitivityAt(temperature) : 1;
  return recorded.outputs.map((role) => ({ role, value: results[role], sensitivity, ...errorOf(recorded, role) }));
}
