/**
 * Four trits a byte, as trit + 1 in two bits each.
 *
 * @module
 */

import type { BlockLayout } from "./block.ts";

/** How a block's codes are written and read. */
export type Coding = Pick<BlockLayout, "encode" | "decode">;

/** Byte k holds the neighbours 4 k to 4 k + 3, the first in its lowest bits. */
export function fourNeighbours(blockSize: number): Coding {
  return {
    encode(codes, start, bytes, at) {
      for (let j = 0; j < blockSize; j += 4) {
        const i = start + j;
        bytes[at + j / 4] = codes[i] + 1 | codes[i + 1] + 1 << 2 | codes[i + 2] + 1 << 4 | codes[i + 3] + 1 << 6;
      }
    },
    decode(bytes, at, codes, start) {
      for (let j = 0; j < blockSize; j++) codes[start + j] = (bytes[at + (j >> 2)] >> 2 * (j & 3) & 3) - 1;
    },
  };
}

/** Byte k of each 32 holds the weights k, k + 32, k + 64 and k + 96 of 128; `shifts` says in which bits. */
export function fourStrided(blockSize: number, shifts: readonly [number, number, number, number]): Coding {
  return {
    encode(codes, start, bytes, at) {
      for (let part = 0; part < blockSize; part += 128) {
        for (let k = 0; k < 128; k++) bytes[at + part / 4 + k % 32] |= codes[start + part + k] + 1 << shifts[k >> 5];
      }
    },
    decode(bytes, at, codes, start) {
      for (let part = 0; part < blockSize; part += 128) {
        for (let k = 0; k < 128; k++) codes[start + part + k] = (bytes[at + part / 4 + k % 32] >> shifts[k >> 5] & 3) - 1;
      }
    },
  };
}
