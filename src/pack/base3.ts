/**
 * Five trits a byte as a fixed-point fraction: 3^5 = 243 of 256 values. The digits are not taken off by division but by multiplication:
 * a byte b stands for b / 256, whose next ternary digit is the whole part of 3 b / 256.
 *
 * @module
 */

import type { Coding } from "./two_bits.ts";

/** Consecutive bytes that share a pattern: byte m holds the trits m, m + bytes, m + 2 · bytes, … of the stage, the first most significant. */
export interface Stage {
  /** Bytes of the stage. */
  readonly bytes: number;
  /** Trits in each, 5 at most; the missing ones are zeros behind. */
  readonly trits: number;
}

const powers = [1, 3, 9, 27, 81];

/** Codes in stages, one after another. */
export function base3(stages: readonly Stage[]): Coding {
  return {
    encode(codes, start, bytes, at) {
      for (const stage of stages) {
        for (let m = 0; m < stage.bytes; m++) {
          let value = 0;
          for (let n = 0; n < 5; n++) value = 3 * value + (n < stage.trits ? codes[start + m + n * stage.bytes] + 1 : 0);
          bytes[at + m] = Math.ceil(value * 256 / 243);
        }
        at += stage.bytes;
        start += stage.bytes * stage.trits;
      }
    },
    decode(bytes, at, codes, start) {
      for (const stage of stages) {
        for (let n = 0; n < stage.trits; n++) {
          for (let m = 0; m < stage.bytes; m++) {
            codes[start + m + n * stage.bytes] = ((bytes[at + m] * powers[n] & 255) * 3 >> 8) - 1;
          }
        }
        at += stage.bytes;
        start += stage.bytes * stage.trits;
      }
    },
  };
}
