/**
 * Traces of linear operators that are only known by what they do to vectors.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { arange, randomSigns } from "../create.ts";
import { constant, isTensor, type Tensor } from "../tensor.ts";

/** A symmetric linear operator: maps each column of `[n, columns]`. For a matrix A: `(x) => A.matmul(x)`. */
export type LinearOperator = (columns: Tensor) => Tensor;

/** Which vectors an estimator applies its operator to. */
export interface QueryOptions {
  /** `[length, count]`, independent columns of mean 0 and variance 1, or how many columns of random signs to draw. 20 by default. */
  readonly queries?: Tensor | number;
  /** Length of the vectors, for those that are drawn. */
  readonly length?: number;
  /** Of the vectors that are drawn: an integer from 0 to 2³² - 1; 0 by default. */
  readonly seed?: number;
}

/** Which vectors Hutch++ applies its operator to. */
export interface SketchOptions extends QueryOptions {
  /**
   * `[length, columns]`, random and independent of the queries, or how many columns of random signs to draw. 10 by default. As many as the
   * vectors are long make the estimate exact.
   */
  readonly sketch?: Tensor | number;
  /** As everywhere; 0 for the part on the sketch alone, without an estimate of the rest. */
  readonly queries?: Tensor | number;
}

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

/** Turns the seed of the queries into that of the sketch. */
const sketchStream = 0x9e3779b9;

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
 * @throws TypeError where `queries` is no matrix, RangeError where it is empty or there is nothing to draw
 *
 * @example
 * ```ts
 * import { hutchinson, tensor } from "@hestia/hestia";
 * const diagonal = tensor([[3], [2], [1]]);
 * const { trace } = hutchinson((x) => x.mul(diagonal), { length: 3, queries: 2 });
 * console.log(await trace.item()); // 6: signs are exact for diagonal operators
 * ```
 */
export function hutchinson(operator: LinearOperator, { queries = 20, length, seed }: QueryOptions): TraceEstimate {
  const vectors = drawn("queries", queries, { length, seed });
  return statistics(vectors.mul(applied(operator, vectors)).sum({ axes: 0 }));
}

/**
 * Trace by Hutch++ (Meyer, Musco, Musco and Woodruff, 2021): exact on the span Q of the operator's image of a sketch, and Hutchinson's
 * estimator on the rest: tr(Qᵀ A Q) + mean of vᵀ (1 - Q Qᵀ) A (1 - Q Qᵀ) v over query vectors v. It takes two products for each column of
 * the sketch and one for each query.
 *
 * The basis is made by Gram-Schmidt, twice, so that it is orthonormal for nearly dependent columns too; columns that depend on earlier
 * ones are left out, which costs nothing of the estimate's correctness: the queries see what the basis misses. A sketch of as many columns as
 * rows spans the whole space, dependent or not: the trace is then exact, and there is no rest.
 *
 * @param operator symmetric
 * @throws TypeError where `sketch` or `queries` is no matrix or their first lengths differ, RangeError where one is empty or there is nothing
 * to draw
 *
 * @example
 * ```ts
 * import { hutchPlusPlus, tensor } from "@hestia/hestia";
 * const matrix = tensor([[3, 1, 0], [1, 2, 0], [0, 0, 1]]);
 * const { trace, standardError } = hutchPlusPlus((x) => matrix.matmul(x), { length: 3, sketch: 2, queries: 4, seed: 1 });
 * console.log(...await Promise.all([trace.item(), standardError.item()]));
 * ```
 */
export function hutchPlusPlus(
  operator: LinearOperator,
  { sketch = 10, queries = 20, length, seed = 0 }: SketchOptions,
): SplitTraceEstimate {
  const first = drawn("sketch", sketch, { length, seed: (seed ^ sketchStream) >>> 0 });
  const [rows, columns] = first.shape;
  const [zero, unknown] = [constant(0), constant(NaN)];
  if (columns >= rows) {
    const whole = arange([rows, 1], { axis: 0 }).equal(arange([1, rows])).cast("float32");
    const trace = whole.mul(applied(operator, whole)).sum();
    return { lowRank: trace, residual: zero, trace, standardError: zero };
  }
  const basis = orthonormal(applied(operator, first));
  const lowRank = basis.mul(applied(operator, basis)).sum();
  if (queries === 0) return { lowRank, residual: zero, trace: lowRank, standardError: unknown };
  const vectors = drawn("queries", queries, { length, seed });
  if (rows !== vectors.shape[0]) {
    throw atCaller(new TypeError(`Cannot estimate a trace by ${first} and ${vectors}: wanted columns of one length`));
  }
  const rest = outside(basis, vectors);
  const { trace: residual, standardError } = statistics(rest.mul(applied(operator, rest)).sum({ axes: 0 }));
  return { lowRank, residual, trace: lowRank.add(residual), standardError };
}

/** The columns as given, or as many random signs. */
function drawn(
  name: string,
  columns: Tensor | number,
  { length, seed = 0 }: { length?: number; seed?: number },
): Tensor {
  if (isTensor(columns)) {
    check(name, columns);
    return columns;
  }
  const counts = (value: unknown) => Number.isInteger(value) && (value as number) > 0;
  if (counts(columns) && counts(length)) return randomSigns([length!, columns], { seed });
  throw atCaller(
    new RangeError(`Cannot draw ${columns} ${name} of length ${length}: wanted two whole numbers from 1 on, or a matrix`),
  );
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

/** What of the columns lies outside of the span of an orthonormal basis. */
export function outside(basis: Tensor, columns: Tensor): Tensor {
  return columns.sub(basis.matmul(basis.transpose().matmul(columns)));
}

/** An orthonormal basis of the columns' span; zeros in place of columns that depend on those before them. */
export function orthonormal(columns: Tensor): Tensor {
  const [length, count] = columns.shape;
  let basis = constant(0, [length, count]);
  for (let at = 0; at < count; at++) {
    const whole = column(columns, at);
    let part = whole;
    for (let pass = 0; pass < 2; pass++) {
      part = normalized(at === 0 ? part : outside(basis, part), part);
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
