/**
 * The random signs of the release of 2026: a Mersenne Twister for each tensor, seeded by its name.
 *
 * @module
 */

/** Words of the generator's state, and the distance at which they are mixed. */
const [size, distance] = [624, 397];

/**
 * The generator MT19937 (Matsumoto and Nishimura, 1998) from a seed of 32 bits: a function whose calls give one word of 32 bits each.
 */
function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(size);
  state[0] = seed;
  for (let i = 1; i < size; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let next = size;
  return () => {
    if (next === size) {
      regenerate(state);
      next = 0;
    }
    let word = state[next++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  };
}

function regenerate(state: Uint32Array): void {
  for (let i = 0; i < size; i++) {
    const bits = (state[i] & 0x80000000) | (state[(i + 1) % size] & 0x7fffffff);
    state[i] = state[(i + distance) % size] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
  }
}

/** The checksum CRC-32 (as in zip files) of a text in UTF-8: 32 bits. */
export function crc32(text: string): number {
  let bits = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    bits ^= byte;
    for (let i = 0; i < 8; i++) bits = bits & 1 ? (bits >>> 1) ^ 0xedb88320 : bits >>> 1;
  }
  return ~bits >>> 0;
}

/** Sketch and queries of one tensor. */
export interface SeededProbes {
  /** Signs `[length, sketch]`, row-major; the sketch has `length` columns at most. */
  readonly sketch: Float32Array<ArrayBuffer>;
  /** Signs `[length, queries]`, row-major. */
  readonly queries: Float32Array<ArrayBuffer>;
}

/**
 * Random signs for one tensor, the same on every machine: a Mersenne Twister seeded with the low 32 bits of `seed` plus the checksum of the
 * name, one word for each sign, taken from its lowest bit, row by row; the sketch first, then the queries from where it ended.
 *
 * @param name of the module: without `.weight`
 */
export function seededProbes(
  name: string,
  { seed, length, sketch, queries }: Readonly<Record<"seed" | "length" | "sketch" | "queries", number>>,
): SeededProbes {
  const draw = mersenneTwister((seed + crc32(name)) % 2 ** 32);
  const signs = (columns: number) => Float32Array.from({ length: length * columns }, () => draw() & 1 ? 1 : -1);
  return { sketch: signs(Math.min(sketch, length)), queries: signs(queries) };
}
