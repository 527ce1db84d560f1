/**
 * Hessian traces of many tensors at once.
 *
 * @module
 */

import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { randomSigns, tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** Settings of `hessianTraces`. */
export interface TraceOptions {
  /** Tensors whose diagonal Hessian blocks are measured. */
  readonly names: readonly string[];
  /** Hessian-vector products at most; at least 1. */
  readonly probes: number;
  /** Of the probes: an integer, 0 by default. */
  readonly seed?: number;
  /** Ends early once this says so; asked after each probe from the second on. */
  readonly enough?: (traces: readonly TensorTrace[]) => boolean;
  /** Ends after the probe at hand. */
  readonly signal?: AbortSignal;
}

/** Estimated trace of one tensor's Hessian block. */
export interface TensorTrace {
  /** As in the parameters. */
  readonly name: string;
  /** Mean of the estimates so far; it may be negative. */
  readonly trace: number;
  /** Standard error over the probes; NaN after a single one. */
  readonly standardError: number;
}

/** What is known after each probe. */
export interface TraceProgress {
  /** Hessian-vector products done. */
  readonly probes: number;
  /** One for each name, in the order of `names`. */
  readonly traces: readonly TensorTrace[];
}

/** A different seed for each tensor and probe. */
function probeSeed(seed: number, probe: number, index: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(probe + 1, 0x85ebca77) ^ Math.imul(index + 1, 0xc2b2ae3d)) >>> 0;
}

/** Running mean and variance (Welford's recurrence). */
class Statistics {
  #count = 0;
  #mean = 0;
  #squares = 0;
  add(value: number): void {
    const delta = value - this.#mean;
    this.#mean += delta / ++this.#count;
    this.#squares += delta * (value - this.#mean);
  }
  get mean(): number {
    return this.#mean;
  }
  get standardError(): number {
    return Math.sqrt(this.#squares / (this.#count - 1) / this.#count);
  }
}

/**
 * Estimates the trace of each tensor's own Hessian block from joint probes (Hutchinson, 1990): with random signs v over all tensors at
 * once, E[v_i · (H v)_i] = tr(H_ii), since the signs of different tensors are independent. One Hessian-vector product serves all
 * tensors, where the published code sweeps them one by one.
 *
 * Probe p uses batch p modulo the number of batches, so the mean is over batches too when `probes` is a multiple of it.
 *
 * @param loss scalar loss, a pure function
 * @param parameters all that `loss` needs, by name
 * @param batches at least one record of tensors, all of the same shapes
 * @yields the estimates after each probe
 * @throws Error where a product is not finite
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
  loss: (parameters: Readonly<Record<string, Tensor>>, batch: Readonly<Record<string, Tensor>>) => Tensor,
  { parameters, batches }: {
    readonly parameters: Readonly<Record<string, Tensor>>;
    readonly batches: readonly Readonly<Record<string, Tensor>>[];
  },
  { names, probes, seed = 0, enough = () => false, signal }: TraceOptions,
): AsyncGenerator<TraceProgress> {
  if (batches.length === 0) throw new RangeError("Cannot measure Hessian traces: wanted at least one batch");
  const product = compile((inputs: { parameters: Tensors; batch: Tensors; seeds: Tensors }) => {
    const tensors = names.map((name) => inputs.parameters[name]);
    const probe = names.map((name, index) => randomSigns(tensors[index].shape, { seed: inputs.seeds[name] }));
    const products = hessianVectorProduct(loss(inputs.parameters, inputs.batch), tensors, probe);
    return products.map((block, index) => block.mul(probe[index]).sum());
  }, { donate: ["seeds"] });
  const statistics = names.map(() => new Statistics());
  for (let probe = 0; probe < probes && !signal?.aborted; probe++) {
    const seeds = Object.fromEntries(
      names.map((name, index) => [name, tensor(new Uint32Array([probeSeed(seed, probe, index)]), { shape: [] })]),
    );
    const estimates = product({ parameters, batch: batches[probe % batches.length], seeds });
    const values = await Promise.all(estimates.map((estimate) => estimate.item()));
    estimates.forEach((estimate) => estimate.dispose());
    values.forEach((value, index) => {
      if (!Number.isFinite(value)) {
        throw new Error(`Cannot measure the Hessian trace of ${names[index]}: the product is ${value}`);
      }
      statistics[index].add(value);
    });
    const traces = names.map((name, index) => ({
      name,
      trace: statistics[index].mean,
      standardError: statistics[index].standardError,
    }));
    yield { probes: probe + 1, traces };
    if (probe > 0 && enough(traces)) return;
  }
}
