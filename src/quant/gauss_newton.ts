/**
 * Traces of the Gauss-Newton matrix: the part of the Hessian that is never negative, at the price of gradients.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { randomSigns, tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { finiteValues, measuredTraces, type Probe, probeSeed } from "./traces.ts";
import type { TraceInputs, TraceOptions, TraceProgress } from "./traces.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** Logits `[…, classes]` of parameters and a batch, by name: a pure function. */
export type LogitsFunction = (parameters: Readonly<Record<string, Tensor>>, batch: Readonly<Record<string, Tensor>>) => Tensor;

/** The same in pieces of some rows each, which exist one after the other: where all of them would take much memory together. */
export type LogitPiecesFunction = (...inputs: Parameters<LogitsFunction>) => readonly Tensor[];

const rowsOf = ({ size, shape }: Tensor): number => size / shape[shape.length - 1];

/**
 * A random direction of the logits whose covariance is the Hessian of the sum of their cross-entropies with respect to them, diag(p) - p pᵀ
 * for each row: with random signs e and r = √p e, that is r - p Σr.
 */
function randomSlope(logits: Tensor, seed: Tensor): Tensor {
  const p = logits.softmax().stopGradient();
  const root = p.sqrt().mul(randomSigns(logits.shape, { seed }));
  return root.sub(p.mul(root.sum({ axes: -1, keepDims: true })));
}

/** What one probe computes. */
interface ProbeInputs {
  readonly parameters: Tensors;
  readonly batch: Tensors;
  readonly seed: Tensor;
}

/** One probe: of each tensor, the squared length of its gradient along a random slope of the logits. */
export function squaredGradients(
  logits: LogitsFunction | LogitPiecesFunction,
  { parameters, batch, seed }: ProbeInputs,
  names: readonly string[],
): Tensor[] {
  const outputs = [logits(parameters, batch)].flat();
  const rows = outputs.reduce((sum, each) => sum + rowsOf(each), 0);
  const root = batch.counts ? batch.counts.sum().cast("float32").sqrt() : Math.sqrt(rows);
  let start = 0;
  const products = outputs.map((each, place) => {
    const slope = randomSlope(each, seed.add(place));
    const counts = batch.counts?.reshape([rows]).slice([start], [start += rowsOf(each)]).reshape([...each.shape.slice(0, -1), 1]);
    return each.mul((counts ? counts.where(slope, 0) : slope).div(root)).sum();
  });
  const along = products.reduce((sum, each) => sum.add(each));
  return gradients(along, names.map((name) => parameters[name])).map((slope) => slope.square().sum());
}

/** {@linkcode squaredGradients} as a program. */
export function compileSquares(logits: LogitsFunction | LogitPiecesFunction, names: readonly string[]) {
  return compile((inputs: ProbeInputs) => squaredGradients(logits, inputs, names), { donate: ["seed"] });
}

function gradientProbe(
  logits: LogitsFunction | LogitPiecesFunction,
  { parameters, batches }: TraceInputs,
  names: readonly string[],
  seed: number,
): Probe {
  const squares = compileSquares(logits, names);
  return async (probe) => {
    const own = tensor(new Uint32Array([probeSeed(seed, probe, 0)]), { shape: [] });
    const values = await finiteValues(names, squares({ parameters, batch: batches[probe % batches.length], seed: own }));
    return Object.fromEntries(names.map((name, index) => [name, values[index]]));
  };
}

/**
 * Estimates the trace of each tensor's own block of the Gauss-Newton matrix of a mean cross-entropy, Jᵀ S J, where J is the Jacobian of the
 * logits and S the Hessian of the loss with respect to them. It is the Hessian without the term in the curvature of the model itself, and the
 * Fisher information of the model's own predictions; it is never negative.
 *
 * With a random direction u of the logits whose covariance is S, the gradient of u · logits has the Gauss-Newton matrix for a covariance,
 * so the square of each tensor's gradient estimates its trace. One gradient serves all tensors, a third of a Hessian-vector product, and
 * other tensors are no noise: the variance is 2 |JᵢᵀS Jᵢ|² at most, that of Hutchinson's estimator on the tensor's block alone.
 *
 * A probe holds what a gradient of the loss holds, and of gradients only one or two tensors' at a time. Probes, batches, groups, standard errors and `resume` are those of `hessianTraces`.
 *
 * @param logits of every row that the loss is the mean over. A batch may say by `counts`, uint32, one for each row, which rows those are:
 * rows of 0 do not count
 * @yields the estimates after each probe; first those of `resume`, where there is one
 * @throws Error where an estimate is not finite, RangeError where there is no batch or `resume` is of other settings
 *
 * @example
 * ```ts
 * import { gaussNewtonTraces, tensor } from "@hestia/hestia";
 * const inputs = { parameters: { w: tensor([[1, 2], [3, 4]]) }, batches: [{ x: tensor([[1, 0], [0, 1]]) }] };
 * const progress = gaussNewtonTraces(({ w }, { x }) => x.matmul(w), inputs, { names: ["w"], probes: 50 });
 * for await (const { probes, traces } of progress) {
 *   if (probes === 50) console.log(traces[0].trace); // near 2 p (1 - p) = 0.393, p the sigmoid of 1
 * }
 * ```
 */
export function gaussNewtonTraces(
  logits: LogitsFunction | LogitPiecesFunction,
  inputs: TraceInputs,
  options: TraceOptions,
): AsyncGenerator<TraceProgress> {
  return measuredTraces(gradientProbe(logits, inputs, options.names, options.seed ?? 0), inputs.batches.length, options);
}
