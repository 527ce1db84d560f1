/**
 * Hessian traces of many tensors at once.
 *
 * @module
 */

import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { atCaller } from "../core/errors.ts";
import { randomSigns, tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { advanced, emptyState, equalLengths, type Groups, type TensorTrace, tracesOf, type TraceState } from "./trace_state.ts";

/** Tensors by name. */
type Tensors = Readonly<Record<string, Tensor>>;

/** A scalar loss of parameters and a batch, by name: a pure function. */
export type LossFunction = (parameters: Readonly<Record<string, Tensor>>, batch: Readonly<Record<string, Tensor>>) => Tensor;

/** What traces are measured on. */
export interface TraceInputs {
  /** All that the loss needs. */
  readonly parameters: Readonly<Record<string, Tensor>>;
  /** At least one record of tensors, all of the same shapes. Their Hessians are averaged. */
  readonly batches: readonly Readonly<Record<string, Tensor>>[];
}

/** Settings of `hessianTraces` and `gaussNewtonTraces`. */
export interface TraceOptions {
  /** Tensors whose own diagonal blocks are measured. */
  readonly names: readonly string[];
  /**
   * Probes at most; at least 1: Hessian-vector products, or gradients where the Gauss-Newton matrix is measured. Only whole rounds over the batches are made, so that each counts the same; where there are
   * fewer probes than batches, the first batches are used, once each.
   */
  readonly probes: number;
  /** Of the probes: an integer, 0 by default. */
  readonly seed?: number;
  /** Names whose traces are added up, with the standard errors of the sums: the tensors of a layer, say. None by default. */
  readonly groups?: Groups;
  /** Goes on from here, and ends in the bits in which an unbroken run would have ended. */
  readonly resume?: TraceState;
  /** Ends early once this says so; asked after each whole round from the second probe on. */
  readonly enough?: (progress: TraceProgress) => boolean;
  /** Ends after the probe at hand. */
  readonly signal?: AbortSignal;
}

/** What is known after each probe. */
export interface TraceProgress {
  /** Probes done. */
  readonly probes: number;
  /** One for each name, in the order of `names`. */
  readonly traces: readonly TensorTrace[];
  /** One for each group, in their order. */
  readonly groups: readonly TensorTrace[];
  /** Plain data to go on from. */
  readonly state: TraceState;
}

/** A different seed for each tensor and probe. */
export function probeSeed(seed: number, probe: number, index: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(probe + 1, 0x85ebca77) ^ Math.imul(index + 1, 0xc2b2ae3d)) >>> 0;
}

/** Computes one estimate for each name, from the probe of that number; where signs belong to tensors, they have these lengths. */
export type Probe = (number: number, lengths: Readonly<Record<string, number>>) => Promise<Record<string, number>>;

/** One joint probe: of each tensor, its direction (signs of its length) times its part of the Hessian-vector product. */
export function jointProducts(
  loss: LossFunction,
  { parameters, batch, seeds, lengths }: Readonly<Record<"parameters" | "batch" | "seeds" | "lengths", Tensors>>,
  names: readonly string[],
): Tensor[] {
  const tensors = names.map((name) => parameters[name]);
  const directions = names.map((name, index) => randomSigns(tensors[index].shape, { seed: seeds[name] }).mul(lengths[name]));
  const products = hessianVectorProduct(loss(parameters, batch), tensors, directions);
  return products.map((block, index) => block.mul(directions[index]).sum());
}

/** {@linkcode jointProducts} as a program. */
export function compileProducts(loss: LossFunction, names: readonly string[]) {
  return compile(
    (inputs: Record<"parameters" | "batch" | "seeds" | "lengths", Tensors>) => jointProducts(loss, inputs, names),
    { donate: ["seeds"] },
  );
}

function jointProbe(loss: LossFunction, { parameters, batches }: TraceInputs, names: readonly string[], seed: number): Probe {
  const product = compileProducts(loss, names);
  return async (probe, lengths) => {
    const seeds = Object.fromEntries(
      names.map((name, index) => [name, tensor(new Uint32Array([probeSeed(seed, probe, index)]), { shape: [] })]),
    );
    const values = await finiteValues(names, product({ parameters, batch: batches[probe % batches.length], seeds, lengths }));
    return Object.fromEntries(names.map((name, index) => [name, values[index] / lengths[name] ** 2]));
  };
}

/** Reads one scalar for each name and disposes of it. */
export async function finiteValues(names: readonly string[], scalars: readonly Tensor[]): Promise<number[]> {
  const values = await Promise.all(scalars.map((scalar) => scalar.item()));
  scalars.forEach((scalar) => scalar.dispose());
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new Error(`Cannot measure the trace of ${names[bad]}: a probe found ${values[bad]}`);
  return values;
}

/**
 * Estimates the trace of each tensor's own Hessian block from joint probes (Hutchinson, 1990): with random signs v over all tensors at
 * once, E[v_i · (H v)_i] = tr(H_ii), since the signs of different tensors are independent. One Hessian-vector product serves all
 * tensors, where the published code sweeps them one by one.
 *
 * The other tensors are noise to each: the variance of its samples is 2 |H_ii|² (without the diagonal) plus the sum of |H_ij|² over all others
 * j. With signs of length c_i for tensor i, and estimates v_i · (H v)_i / c_i², that sum is over (c_j / c_i)² |H_ij|². Lengths of one over the
 * square root of the trace, as known after 2, 4, 8, … probes, let all tensors be measured about equally well, where otherwise those of
 * large curvature drown the rest.
 *
 * Probe p uses batch p modulo the number of batches, with signs of its own. The standard errors are those of the mean over batches of
 * this kind: how the Hessian differs from batch to batch is part of them.
 *
 * A probe holds the directions and the products of the named tensors, at most 8 bytes for each of their elements, and about five times the
 * activations that gradients hold.
 *
 * Where traces are small against what they are made of, positive and negative parts that cancel, no affordable number of probes tells them
 * from zero: see `gaussNewtonTraces`.
 *
 * @yields the estimates after each probe; first those of `resume`, where there is one
 * @throws Error where a product is not finite, RangeError where there is no batch or `resume` is of other settings
 *
 * @example
 * ```ts
 * import { hessianTraces, tensor } from "@hestia/hestia";
 * const inputs = { parameters: { w: tensor([1, 2, 3]) }, batches: [{ x: tensor([1, 1, 2]) }] };
 * const progress = hessianTraces(({ w }, { x }) => w.square().mul(x).sum(), inputs, { names: ["w"], probes: 1 });
 * for await (const { traces } of progress) console.log(traces[0].trace); // 8: exact, since this Hessian is diagonal
 * ```
 */
export function hessianTraces(loss: LossFunction, inputs: TraceInputs, options: TraceOptions): AsyncGenerator<TraceProgress> {
  return measuredTraces(jointProbe(loss, inputs, options.names, options.seed ?? 0), inputs.batches.length, options);
}

/** Probe after probe, round after round over so many batches. */
export async function* measuredTraces(
  probe: Probe,
  count: number,
  { names, probes, groups = {}, resume, enough = () => false, signal }: TraceOptions,
): AsyncGenerator<TraceProgress> {
  if (count === 0) throw new RangeError("Cannot measure Hessian traces: wanted at least one batch");
  if (!(Number.isInteger(probes) && probes >= 1)) {
    throw atCaller(new RangeError(`Cannot measure Hessian traces by ${probes} probes: wanted a whole number of at least 1`));
  }
  const limit = probes < count ? probes : probes - probes % count;
  let state = resume ?? emptyState(names, { groups, batches: count });
  if (resume) await checkResumed(resume, probe, { names, groups, batches: count });
  for (;;) {
    const { probes: spent, tensors, groups: sums } = state;
    if (spent > 0) {
      const progress = { probes: spent, traces: tracesOf(tensors, spent), groups: tracesOf(sums, spent), state };
      yield progress;
      if (spent > 1 && spent % count === 0 && enough(progress)) return;
    }
    if (spent >= limit || signal?.aborted) return;
    state = advanced(state, await probe(spent, state.lengths), groups);
  }
}

/** A state fits where its first probe, made once more, gives the same bits: then model, data, seed and device are the same. */
async function checkResumed(
  { batches, probes, first, tensors, groups }: TraceState,
  probe: Probe,
  wanted: { readonly names: readonly string[]; readonly groups: Groups; readonly batches: number },
): Promise<void> {
  const keys = (...names: readonly (readonly string[])[]) => JSON.stringify(names);
  const same = batches === wanted.batches &&
    keys(Object.keys(tensors), Object.keys(groups)) === keys(wanted.names, Object.keys(wanted.groups));
  const again = same && probes > 0 ? await probe(0, equalLengths(wanted.names)) : {};
  if (same && Object.entries(again).every(([name, value]) => first[name] === value)) return;
  throw atCaller(new RangeError("Cannot go on measuring Hessian traces: the state is of another model, data, seed or device"));
}
