/**
 * What a few seeds say: means, standard errors, differences of pairs.
 *
 * @module
 */

/** A mean over seeds. */
export interface Estimate {
  readonly mean: number;
  /** Of the mean; null with a single value. */
  readonly standardError: number | null;
  readonly count: number;
}

/**
 * Mean and its standard error, the sample's standard deviation over the root of the count.
 *
 * @throws RangeError where there is no value, or one is not finite
 */
export function estimate(values: readonly number[]): Estimate {
  if (values.length === 0 || !values.every(Number.isFinite)) {
    throw new RangeError(`Cannot average [${values}]: wanted at least one value, all of them finite`);
  }
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, standardError: count > 1 ? Math.sqrt(squares / (count - 1) / count) : null, count };
}

/**
 * Estimate of a - b over the seeds that both have: what the seeds share, such as a lucky base, cancels. Undefined where they share none.
 */
export function pairedDifference(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): Estimate | undefined {
  const shared = [...a.keys()].filter((seed) => b.has(seed));
  return shared.length > 0 ? estimate(shared.map((seed) => a.get(seed)! - b.get(seed)!)) : undefined;
}

/** Share of the gap between rounding without training and full precision that an arm closes: 1 reaches full precision. */
export function gapClosed(losses: { readonly arm: number; readonly rounded: number; readonly fullPrecision: number }): number {
  return (losses.rounded - losses.arm) / (losses.rounded - losses.fullPrecision);
}

/** Middle value; the mean of the two middle ones of an even count. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Trailing means over `width` values, shorter at the beginning: a loss curve that can be read. */
export function smoothed(values: readonly number[], width: number): number[] {
  return values.map((_, index) => {
    const window = values.slice(Math.max(0, index + 1 - width), index + 1);
    return window.reduce((sum, value) => sum + value, 0) / window.length;
  });
}
