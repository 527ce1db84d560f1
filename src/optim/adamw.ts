/**
 * AdamW, as a function: parameters and moments in, parameters and moments out.
 *
 * @module
 */

import { bfloat16Pairs, packBfloat16Pairs, pairsOf, unpackBfloat16 } from "../bits.ts";
import { atCaller } from "../core/errors.ts";
import { isFinite } from "../finite.ts";
import { constant, finiteOr, type Tensor } from "../tensor.ts";

/** Tensors by parameter name. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

/** How moments are stored: 4 bytes an element, or 2, which loses nothing on average (stochastic rounding). */
export type MomentDType = "float32" | "bfloat16";

/**
 * Running means of the gradient and of its square, by parameter name: float32 in the shape of the parameter, or bfloat16 two to a word,
 * uint32 `[⌈elements / 2⌉]`.
 */
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
  /**
   * The norm that is compared with `clipNorm`, a scalar: that of the step before, say. Then no update waits for all gradients, and each
   * gradient is freed as soon as its parameter is updated. The global norm of these gradients by default.
   */
  readonly norm?: Tensor;
  /** uint32 scalar: where it is 0, nothing is updated. A loss that is not finite, say. */
  readonly when?: Tensor;
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
 * Moments before the first step: zeros, stored as `dtype` says, float32 by default. {@linkcode adamw} keeps them as they are stored.
 *
 * @example
 * ```ts
 * import { initialMoments, tensor } from "@hestia/hestia";
 * const { first } = initialMoments({ w: tensor([3, -4]) });
 * console.log(await first.w.data()); // 0, 0
 * ```
 */
export function initialMoments(parameters: NamedTensors, { dtype = "float32" }: { readonly dtype?: MomentDType } = {}): Moments {
  const zero = ({ shape, size }: Tensor) =>
    dtype === "bfloat16" ? constant(0, [Math.ceil(size / 2)], "uint32") : constant(0, shape);
  const fresh = () => mapRecord(parameters, zero);
  return { first: fresh(), second: fresh() };
}

/** A stored moment as float32 in the shape of its parameter. */
export function readMoment(moment: Tensor, { shape }: Tensor): Tensor {
  return moment.dtype === "uint32" ? unpackBfloat16(moment, shape) : moment;
}

/** The next running mean, stored as the one before: what is kept of it and what comes to it. `seed` is that of the bits it is rounded by. */
function nextMoment(moment: Tensor, share: Tensor, { keep, seed }: { readonly keep: Tensor; readonly seed: Tensor }): Tensor {
  const next = (before: Tensor, now: Tensor) => before.mul(keep).add(now);
  if (moment.dtype !== "uint32") return next(moment, share);
  const [before, now] = [bfloat16Pairs(moment), pairsOf(share)];
  return packBfloat16Pairs([next(before[0], now[0]), next(before[1], now[1])], { seed });
}

/** Most tensors whose squares are added element by element before they are summed: all of them are read by one kernel. */
const summedTogether = 12;
/** Most elements of such tensors: larger ones are summed by themselves, so that none is kept for the others. */
const mostTogether = 2 ** 18;

/** Root of the sum of squares over all tensors, a scalar. Small tensors of one shape are added up first, so that few kernels sum many. */
export function globalNorm(tensors: NamedTensors): Tensor {
  const byShape = Object.values(Object.groupBy(Object.values(tensors), ({ shape }) => `${shape}`)).map((group) => group!);
  const sums = byShape.flatMap((group) =>
    chunked(group, group[0].size > mostTogether ? 1 : summedTogether).map((chunk) =>
      chunk.map((tensor) => tensor.square()).reduce((a, b) => a.add(b)).sum()
    )
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
 * p ← p (1 - rate · decay) - rate · m̂ / (√v̂ + epsilon). Moments stay as they are stored; those in bfloat16 are rounded up or down at
 * random, with the probability that makes their mean right, by bits that depend on the step alone.
 *
 * Where the norm of the gradients is NaN or infinite, parameters and moments stay as they are. With `norm` that one decides, and of these
 * gradients those elements count as zero which are not finite: nothing waits for the others.
 *
 * @throws TypeError when a parameter has no gradient or no moment, RangeError where a number is out of range: steps count from 1
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
  checkNumbers(state.step, options);
  const gradientNorm = globalNorm(mapRecord(state.parameters, (_, name) => state.gradients[name]));
  const coefficient = clipNorm > 0 ? constant(clipNorm).div((options.norm ?? gradientNorm).add(1e-6)).minimum(1) : undefined;
  const step = asTensor(state.step);
  const isSound = isFinite(options.norm ?? gradientNorm);
  const moves = options.when ? isSound.bitAnd(options.when.reshape([])) : isSound;
  const rate = moves.where(asTensor(options.learningRate).reshape([]), 0);
  const [keep1, keep2] = [beta1, beta2].map((beta) => moves.where(constant(beta), 1));
  const correction1 = startCorrection(beta1, state.step);
  const correction2 = startCorrection(beta2, state.step);
  const result: AdamWResult = { parameters: {}, moments: { first: {}, second: {} }, gradientNorm };
  for (const [index, name] of names.entries()) {
    const parameter = state.parameters[name];
    const clipped = coefficient ? state.gradients[name].mul(coefficient) : state.gradients[name];
    const gradient = moves.where(options.norm ? finiteOr(clipped, 0) : clipped, 0);
    const seedOf = (place: number) => step.cast("uint32").mul(0x9e3779b9).add(2 * index + place); // another for each tensor and step
    const first = nextMoment(state.moments.first[name], gradient.mul(1 - beta1), { keep: keep1, seed: seedOf(0) });
    const second = nextMoment(state.moments.second[name], gradient.square().mul(1 - beta2), {
      keep: keep2,
      seed: seedOf(1),
    });
    const [mean, meanSquare] = [first, second].map((moment) => readMoment(moment, parameter));
    const move = mean.div(correction1).div(meanSquare.div(correction2).sqrt().add(epsilon));
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

function checkNumbers(step: number | Tensor, options: AdamWOptions): void {
  const { learningRate, beta1 = 0, beta2 = 0, epsilon = 0, weightDecay = 0, clipNorm = 0 } = options;
  const check = (holds: boolean, wanted: string, got: number) => {
    if (!holds) throw atCaller(new RangeError(`Cannot update by AdamW: wanted ${wanted}, got ${got}`));
  };
  if (typeof step === "number") check(Number.isInteger(step) && step >= 1, "a step counted from 1", step);
  if (typeof learningRate === "number") check(Number.isFinite(learningRate), "a finite learningRate", learningRate);
  for (const [name, beta] of Object.entries({ beta1, beta2 })) check(beta >= 0 && beta < 1, `${name} from 0 to below 1`, beta);
  for (const [name, value] of Object.entries({ epsilon, weightDecay, clipNorm })) {
    check(value >= 0 && value < Infinity, `${name} to be a finite number of at least 0`, value);
  }
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
