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

/** Settings of `hessianTraces`. */
export interface TraceOptions {
  /** Tensors whose diagonal Hessian blocks are measured. */
  readonly names: readonly string[];
  /**
   * Hessian-vector products at most; at least 1. Only whole rounds over the batches are made, so that each counts the same; where there are
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
  /** Hessian-vector products done. */
  readonly probes: number;
  /** One for each name, in the order of `names`. */
  readonly traces: readonly TensorTrace[];
  /** One for each group, in their order. */
  readonly groups: readonly TensorTrace[];
  /** Plain data to go on from. */
  readonly state: TraceState;
}

/** A different seed for each tensor and probe. */
function probeSeed(seed: number, probe: number, index: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(probe + 1, 0x85ebca77) ^ Math.imul(index + 1, 0xc2b2ae3d)) >>> 0;
}

/** Computes one estimate for each name, from the joint probe of that number, whose signs have these lengths. */
type Probe = (number: number, lengths: Readonly<Record<string, number>>) => Promise<Record<string, number>>;

function jointProbe(loss: LossFunction, { parameters, batches }: TraceInputs, names: readonly string[], seed: number): Probe {
  const product = compile((inputs: { parameters: Tensors; batch: Tensors; seeds: Tensors; lengths: Tensors }) => {
    const tensors = names.map((name) => inputs.parameters[name]);
    const signs = names.map((name, index) => randomSigns(tensors[index].shape, { seed: inputs.seeds[name] }));
    const directions = names.map((name, index) => signs[index].mul(inputs.lengths[name]));
    const products = hessianVectorProduct(loss(inputs.parameters, inputs.batch), tensors, directions);
    return products.map((block, index) => block.mul(signs[index]).sum());
  }, { donate: ["seeds"] });
  return async (probe, lengths) => {
    const seeds = Object.fromEntries(
      names.map((name, index) => [name, tensor(new Uint32Array([probeSeed(seed, probe, index)]), { shape: [] })]),
    );
    const estimates = product({ parameters, batch: batches[probe % batches.length], seeds, lengths });
    const values = await Promise.all(estimates.map((estimate) => estimate.item()));
    estimates.forEach((estimate) => estimate.dispose());
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new Error(`Cannot measure the Hessian trace of ${names[bad]}: the product is ${values[bad]}`);
    return Object.fromEntries(names.map((name, index) => [name, values[index] / lengths[name]]));
  };
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
 * Beyond the gradient of the loss, a probe holds the signs and the products of the named tensors: 8 bytes for each of their elements.
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
export async function* hessianTraces(
  loss: LossFunction,
  inputs: TraceInputs,
  { names, probes, seed = 0, groups = {}, resume, enough = () => false, signal }: TraceOptions,
): AsyncGenerator<TraceProgress> {
  const count = inputs.batches.length;
  if (count === 0) throw new RangeError("Cannot measure Hessian traces: wanted at least one batch");
  const probe = jointProbe(loss, inputs, names, seed);
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
