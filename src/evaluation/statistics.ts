/**
 * Means of items, and how sure they are.
 *
 * @module
 */

/** A mean, and the standard error of it. */
export interface Mean {
  /** The mean. */
  readonly mean: number;
  /** Sample standard deviation over the root of the number of items; NaN of fewer than two. */
  readonly standardError: number;
}

/** Mean of a list; NaN of an empty one. */
export function meanOf(values: ArrayLike<number>): Mean {
  const list = Array.from(values);
  const count = list.length;
  const mean = list.reduce((sum, value) => sum + value, 0) / count;
  const squares = list.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, standardError: count < 2 ? NaN : Math.sqrt(squares / (count - 1) / count) };
}

/** Mean of independent means, each of which counts alike. */
export function meanOfMeans(means: readonly Mean[]): Mean {
  const squares = means.reduce((sum, { standardError }) => sum + standardError ** 2, 0);
  return {
    mean: means.reduce((sum, { mean }) => sum + mean, 0) / means.length,
    standardError: Math.sqrt(squares) / means.length,
  };
}

/** Mean of the differences of two lists, item by item: far surer than the difference of two means where both find the same items hard. */
export function pairedDifference(first: ArrayLike<number>, second: ArrayLike<number>): Mean {
  return meanOf(Array.from(first, (value, index) => value - second[index]));
}

/** Share of a list, sorted from small to large, that is below: between two of its values in proportion. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  const place = share * (sorted.length - 1);
  const [low, high] = [Math.floor(place), Math.ceil(place)];
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}
