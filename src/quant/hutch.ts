/**
 * Traces of linear operators that are only known by what they do to vectors.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { constant, type Tensor } from "../tensor.ts";

/** A symmetric linear operator: maps each column of `[n, columns]`. For a matrix A: `(x) => A.matmul(x)`. */
export type LinearOperator = (columns: Tensor) => Tensor;

/** An estimated trace: float32 scalars, in graph form. */
export interface TraceEstimate {
  /** The estimate. */
  readonly trace: Tensor;
  /** Standard error over the queries; NaN for a single one. */
  readonly standardError: Tensor;
}

/** An estimate of Hutch++, with its two parts, which sum to `trace`. */
export interface SplitTraceEstimate extends TraceEstimate {
  /** Trace on the subspace of the sketch: exact. */
  readonly lowRank: Tensor;
  /** Trace on the rest: the mean over the queries. */
  readonly residual: Tensor;
}

/** A column whose part outside of the columns before it is smaller than this share is left out: the rest is rounding error. */
const dependence = 1e-5;

/** An operator from a function of single vectors, `[n]` to `[n]`, such as a Hessian-vector product. */
export function columnwise(f: (vector: Tensor) => Tensor): LinearOperator {
  return (columns) => {
    const [length, count] = columns.shape;
    return joined(Array.from({ length: count }, (_, at) => f(column(columns, at).reshape([length])).reshape([length, 1])));
  };
}

/**
 * Trace by Hutchinson's estimator (1990): the mean of vᵀ A v over query vectors v, n products for n queries.
 *
 * @param operator symmetric
 * @param options.queries `[n, count]`, independent columns of independent signs (or others of mean 0 and variance 1)
 * @throws TypeError where `queries` is no matrix, RangeError where it is empty
 */
export function hutchinson(operator: LinearOperator, { queries }: { readonly queries: Tensor }): TraceEstimate {
  check("queries", queries);
  return statistics(queries.mul(applied(operator, queries)).sum({ axes: 0 }));
}

/**
 * Trace by Hutch++ (Meyer, Musco, Musco and Woodruff, 2021): exact on the span Q of the operator's image of a sketch, and Hutchinson's
 * estimator on the rest: tr(Qᵀ A Q) + mean of vᵀ (1 - Q Qᵀ) A (1 - Q Qᵀ) v over query vectors v. It takes two products for each column of
 * the sketch and one for each query.
 *
 * The basis is made by Gram-Schmidt, twice, so that it is orthonormal for nearly dependent columns too; columns that depend on earlier
 * ones are left out, which costs nothing of the estimate's correctness: the queries see what the basis misses.
 *
 * @param operator symmetric
 * @param options.sketch `[n, columns]`, random: independent signs, say
 * @param options.queries `[n, count]`, random, independent of the sketch: signs, say
 * @throws TypeError where one is no matrix or their first lengths differ, RangeError where one is empty
 *
 * @example
 * ```ts
 * import { hutchPlusPlus, randomSigns, tensor } from "@hestia/hestia";
 * const matrix = tensor([[3, 1, 0], [1, 2, 0], [0, 0, 1]]);
 * const options = { sketch: randomSigns([3, 2], { seed: 1 }), queries: randomSigns([3, 4], { seed: 2 }) };
 * const { trace, standardError } = hutchPlusPlus((x) => matrix.matmul(x), options);
 * console.log(...await Promise.all([trace.item(), standardError.item()]));
 * ```
 */
export function hutchPlusPlus(
  operator: LinearOperator,
  { sketch, queries }: { readonly sketch: Tensor; readonly queries: Tensor },
): SplitTraceEstimate {
  check("sketch", sketch);
  check("queries", queries);
  if (sketch.shape[0] !== queries.shape[0]) {
    throw atCaller(new TypeError(`Cannot estimate a trace by ${sketch} and ${queries}: wanted columns of one length`));
  }
  const basis = orthonormal(applied(operator, sketch));
  const lowRank = basis.mul(applied(operator, basis)).sum();
  const rest = queries.sub(basis.matmul(basis.transpose().matmul(queries)));
  const { trace: residual, standardError } = statistics(rest.mul(applied(operator, rest)).sum({ axes: 0 }));
  return { lowRank, residual, trace: lowRank.add(residual), standardError };
}

function check(name: string, matrix: Tensor): void {
  if (matrix.shape.length !== 2 || matrix.dtype !== "float32") {
    throw atCaller(new TypeError(`Cannot estimate a trace by the ${name} ${matrix}: wanted float32 of [length, columns]`));
  }
  if (matrix.size === 0) throw atCaller(new RangeError(`Cannot estimate a trace by the ${name} ${matrix}: there is no vector`));
}

function applied(operator: LinearOperator, columns: Tensor): Tensor {
  const image = operator(columns);
  if (image.shape.join() === columns.shape.join()) return image;
  throw atCaller(new TypeError(`Cannot estimate a trace: the operator made ${image} of ${columns}, wanted the same shape`));
}

function statistics(samples: Tensor): TraceEstimate {
  const mean = samples.mean();
  const squares = samples.sub(mean).square().sum();
  return { trace: mean, standardError: squares.div(samples.size * (samples.size - 1)).sqrt() };
}

const column = (matrix: Tensor, at: number): Tensor => matrix.slice([0, at], [matrix.shape[0], at + 1]);

/** Columns side by side. */
function joined(columns: readonly Tensor[]): Tensor {
  const placed = columns.map((part, at) => part.pad([0, at], [0, columns.length - 1 - at]));
  return placed.reduce((sum, part) => sum.add(part));
}

/** An orthonormal basis of the columns' span; zeros in place of columns that depend on those before them. */
function orthonormal(columns: Tensor): Tensor {
  const [length, count] = columns.shape;
  let basis = constant(0, [length, count]);
  for (let at = 0; at < count; at++) {
    const whole = column(columns, at);
    let part = whole;
    for (let pass = 0; pass < 2; pass++) {
      part = normalized(at === 0 ? part : part.sub(basis.matmul(basis.transpose().matmul(part))), part);
    }
    basis = basis.add(part.pad([0, at], [0, count - 1 - at]));
  }
  return basis;
}

/** A vector at length 1, or zero where it is a small remainder of another. */
function normalized(vector: Tensor, whole: Tensor): Tensor {
  const norm = (x: Tensor) => x.square().sum().sqrt();
  const [rest, all] = [norm(vector), norm(whole)];
  const kept = all.mul(dependence).less(rest);
  return kept.where(vector.div(kept.where(rest, constant(1))), 0);
}
