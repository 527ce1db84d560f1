/**
 * AdamW, as a function: parameters and moments in, parameters and moments out.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { constant, type Tensor } from "../tensor.ts";

/** Tensors by parameter name. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

/** Running means of the gradient and of its square, by parameter name. */
export interface Moments {
  /** Running means of the gradients, by parameter name. */
  readonly first: Record<string, Tensor>;
  /** Running means of their squares, by parameter name. */
  readonly second: Record<string, Tensor>;
}

/** What one update starts from. */
export interface AdamWState {
  /** float32, by name. */
  readonly parameters: NamedTensors;
  /** One for each parameter, of its shape. */
  readonly gradients: NamedTensors;
  /** As `initialMoments` or the step before gave them. */
  readonly moments: { readonly first: NamedTensors; readonly second: NamedTensors };
  /** Number of this update, counted from 1: a number, or a float32 scalar tensor. */
  readonly step: number | Tensor;
}

/** Settings of AdamW. */
export interface AdamWOptions {
  /** A number, or a float32 scalar tensor (an input of a compiled step). */
  readonly learningRate: number | Tensor;
  /** Decay of the first moment per step; 0.9 by default. */
  readonly beta1?: number;
  /** Decay of the second moment per step; 0.95 by default. */
  readonly beta2?: number;
  /** Added to the root of the second moment; 1e-8 by default. */
  readonly epsilon?: number;
  /** Share of a parameter that is taken away per step and unit of learning rate; 0.01 by default. */
  readonly weightDecay?: number;
  /** Which parameters decay; by default those whose name does not end in `norm.weight`. */
  readonly decays?: (name: string) => boolean;
  /** Largest global norm of the gradients, 1 by default; they are scaled down to it. 0 turns clipping off. */
  readonly clipNorm?: number;
}

/** What one update gives. */
export interface AdamWResult {
  /** After the step. */
  readonly parameters: Record<string, Tensor>;
  /** For the next step. */
  readonly moments: Moments;
  /** Global norm of the gradients before clipping, a scalar. */
  readonly gradientNorm: Tensor;
}

/**
 * Moments before the first step: zeros.
 *
 * @example
 * ```ts
 * import { initialMoments, tensor } from "@hestia/hestia";
 * const { first } = initialMoments({ w: tensor([3, -4]) });
 * console.log(await first.w.data()); // 0, 0
 * ```
 */
export function initialMoments(parameters: NamedTensors): Moments {
  const fresh = () => mapRecord(parameters, ({ shape }) => constant(0, shape));
  return { first: fresh(), second: fresh() };
}

/** Most tensors whose squares are added element by element before they are summed: all of them are read by one kernel. */
const summedTogether = 12;

/** Root of the sum of squares over all tensors, a scalar. Tensors of one shape are added up first, so that few kernels sum many. */
export function globalNorm(tensors: NamedTensors): Tensor {
  const byShape = Object.values(Object.groupBy(Object.values(tensors), ({ shape }) => `${shape}`)).map((group) => group!);
  const sums = byShape.flatMap((group) =>
    chunked(group, summedTogether).map((chunk) => chunk.map((tensor) => tensor.square()).reduce((a, b) => a.add(b)).sum())
  );
  return sums.reduce((total, sum) => total.add(sum), constant(0)).sqrt();
}

function chunked<T>(list: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / length) }, (_, index) => list.slice(index * length, (index + 1) * length));
}

/**
 * One step of AdamW with decoupled weight decay and clipping by the global norm (Loshchilov and Hutter, "Decoupled Weight Decay
 * Regularization", 2019). Only adds graph: each parameter's update is one elementwise expression, which runs as one kernel.
 *
 * Gradients are multiplied by min(1, clipNorm / (norm + 1e-6)), both moments are corrected for their start at zero, and
 * p ← p (1 - rate · decay) - rate · m̂ / (√v̂ + epsilon).
 *
 * @throws TypeError when a parameter has no gradient or no moment
 *
 * @example
 * ```ts
 * import { adamw, gradients, initialMoments, tensor } from "@hestia/hestia";
 * const parameters = { w: tensor([3, -4]) };
 * const [w] = gradients(parameters.w.square().sum(), [parameters.w]);
 * const state = { parameters, gradients: { w }, moments: initialMoments(parameters), step: 1 };
 * const updated = adamw(state, { learningRate: 0.1, weightDecay: 0 });
 * console.log(await updated.gradientNorm.item(), await updated.parameters.w.data()); // 10, and 2.9, -3.9
 * ```
 */
export function adamw(state: AdamWState, options: AdamWOptions): AdamWResult {
  const { beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weightDecay = 0.01, clipNorm = 1 } = options;
  const { decays = (name: string) => !name.endsWith("norm.weight") } = options;
  const names = Object.keys(state.parameters);
  checkNames(names, state);
  const gradientNorm = globalNorm(mapRecord(state.parameters, (_, name) => state.gradients[name]));
  const coefficient = clipNorm > 0 ? constant(clipNorm).div(gradientNorm.add(1e-6)).minimum(1) : undefined;
  const rate = asTensor(options.learningRate);
  const correction1 = startCorrection(beta1, state.step);
  const correction2 = startCorrection(beta2, state.step);
  const result: AdamWResult = { parameters: {}, moments: { first: {}, second: {} }, gradientNorm };
  for (const name of names) {
    const parameter = state.parameters[name];
    const gradient = coefficient ? state.gradients[name].mul(coefficient) : state.gradients[name];
    const first = state.moments.first[name].mul(beta1).add(gradient.mul(1 - beta1));
    const second = state.moments.second[name].mul(beta2).add(gradient.square().mul(1 - beta2));
    const move = first.div(correction1).div(second.div(correction2).sqrt().add(epsilon));
    const kept = weightDecay !== 0 && decays(name) ? parameter.mul(constant(1).sub(rate.mul(weightDecay))) : parameter;
    result.parameters[name] = kept.sub(move.mul(rate));
    result.moments.first[name] = first;
    result.moments.second[name] = second;
  }
  return result;
}

/** 1 - beta^step, a scalar. Below a quarter of a unit of -step·ln(beta) by its series: in float32 the difference would lose digits there. */
function startCorrection(beta: number, step: number | Tensor): Tensor {
  if (beta === 0) return constant(1);
  if (typeof step === "number") return constant(-Math.expm1(step * Math.log(beta)));
  const x = step.mul(-Math.log(beta));
  const terms = 10;
  let series = constant(1);
  for (let term = terms; term > 1; term--) series = x.mul(series).mul(-1 / term).add(1);
  return x.less(0.25).where(x.mul(series), constant(1).sub(x.neg().exp()));
}

function asTensor(value: number | Tensor): Tensor {
  return typeof value === "number" ? constant(value) : value;
}

function mapRecord(record: NamedTensors, fn: (tensor: Tensor, name: string) => Tensor): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(record).map(([name, tensor]) => [name, fn(tensor, name)]));
}

function checkNames(names: readonly string[], { gradients, moments }: AdamWState): void {
  for (
    const [what, record] of Object.entries({
      gradient: gradients,
      "first moment": moments.first,
      "second moment": moments.second,
    })
  ) {
    const missing = names.find((name) => !Object.hasOwn(record, name));
    if (missing !== undefined) throw atCaller(new TypeError(`Cannot update "${missing}": there is no ${what} for it`));
  }
}
