/**
 * The order of sequences: permutations that are computed rather than stored, and the shares of several sources.
 *
 * @module
 */

/** Rounds of the Feistel network; four are enough for what looks random (Luby and Rackoff 1988). */
const rounds = 4;

/**
 * Where a seeded permutation of `0 … size - 1` sends a place: a Feistel network over the next power of four, walked until it arrives in
 * the range (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Nothing is stored, and every place takes the same time.
 *
 * @param size 1 to 2⁵⁰
 * @param options `seed` and `epoch`: integers from 0; another permutation for each
 *
 * @example
 * ```ts ignore
 * permuted(0, 10, { seed: 1, epoch: 0 }); // one of 0 to 9, another for each place
 * ```
 */
export function permuted(
  place: number,
  size: number,
  { seed, epoch }: { readonly seed: number; readonly epoch: number },
): number {
  const half = 2 ** Math.max(3, Math.ceil(Math.log2(size) / 2)); // 8 at least: smaller networks mix badly
  const key = mix(mix(seed) ^ epoch);
  let at = place;
  do {
    let [left, right] = [Math.floor(at / half), at % half];
    for (let round = 0; round < rounds; round++) {
      const noise = mix(key ^ mix(right + round * 0x51ed270b));
      [left, right] = [right, (left + noise % half) % half];
    }
    at = left * half + right;
  } while (at >= size);
  return at;
}

/** A bijection of 32-bit integers in which every input bit moves every output bit (the finalizer of MurmurHash3, Appleby 2011). */
function mix(value: number): number {
  let bits = (value + 0x9e3779b9) >>> 0; // so that 0 does not stay 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Draws after which the shares of sources come out even. */
const period = 1 << 16;

/** Which source a draw takes from, and how many draws took from it before. */
export interface Draw {
  readonly source: number;
  readonly index: number;
}

/**
 * Shares out draws by weight, evenly: after any number of draws, each source had its share to within a few, and exactly after 65 536,
 * where weights are rounded to that precision. A source has one draw in 65 536 at least.
 *
 * @param weights one for each source, above 0
 * @returns the source of a draw, counted from 0, in constant time
 */
export function mixture(weights: readonly number[]): (draw: number) => Draw {
  if (weights.length === 1) return (draw) => ({ source: 0, index: draw });
  const counts = roundedShares(weights);
  const sources = new Uint32Array(period);
  const indices = new Uint32Array(period);
  const taken = counts.map(() => 0);
  for (let draw = 0; draw < period; draw++) {
    let next = 0; // the source that lags behind most
    for (let source = 1; source < counts.length; source++) {
      const lag = (draw + 1) * counts[source] - taken[source] * period;
      if (taken[source] < counts[source] && lag > (draw + 1) * counts[next] - taken[next] * period) next = source;
    }
    sources[draw] = next;
    indices[draw] = taken[next]++;
  }
  return (draw) => {
    const [turn, at] = [Math.floor(draw / period), draw % period];
    const source = sources[at];
    return { source, index: turn * counts[source] + indices[at] };
  };
}

/** Weights as counts that add up to the period: each rounded down, and what is left to those that lost most. */
function roundedShares(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const exact = weights.map((weight) => weight / total * period);
  const counts = exact.map((share) => Math.max(1, Math.floor(share)));
  const order = exact.map((_, index) => index).sort((a, b) => (exact[b] - counts[b]) - (exact[a] - counts[a]));
  for (let left = period - counts.reduce((sum, count) => sum + count, 0), at = 0; left !== 0; at++) {
    const source = left > 0 ? order[at % order.length] : counts.indexOf(Math.max(...counts));
    counts[source] += Math.sign(left);
    left -= Math.sign(left);
  }
  return counts;
}
