/**
 * Numbers as their bits: float32, and the 16-bit floats two to a word.
 *
 * @module
 */

import { type Shape, sizeOf } from "./core/shape.ts";
import { arange, randomBits } from "./create.ts";
import { primitives } from "./ops/primitives.ts";
import { apply, constant, type Tensor } from "./tensor.ts";

/** The 32 bits of float32 elements, as uint32. */
export const toBits = (x: Tensor): Tensor => apply(primitives.toBits, [x]);

/** The float32 elements of these bits (uint32). */
export const fromBits = (words: Tensor): Tensor => apply(primitives.fromBits, [words]);

/** The half-precision numbers in the lower 16 bits of uint32. */
export const unpackHalf = (words: Tensor): Tensor => apply(primitives.unpackHalf, [words]);

/** Words that hold so many elements of two bytes. */
const wordsOf = (elements: number): number => Math.ceil(elements / 2);

/** The 16 bits of each element, in the lower half of a word: uint32 in the given shape, from uint32 `[⌈elements / 2⌉]`, low half first. */
function halfWords(words: Tensor, shape: Shape): Tensor {
  const size = sizeOf(shape);
  const pairs = words.reshape([words.size, 1]).shiftRight(arange([2], { dtype: "uint32" }).mul(16));
  return pairs.reshape([2 * words.size]).slice([0], [size]).reshape(shape).bitAnd(0xffff);
}

/**
 * Elements that are stored as bfloat16, two to a word, as files hold them: float32, exact.
 *
 * @param words uint32 `[⌈elements / 2⌉]`, the first element in the low half
 */
export function unpackBfloat16(words: Tensor, shape: Shape): Tensor {
  return fromBits(halfWords(words, shape).shiftLeft(16));
}

/**
 * Elements that are stored as float16, two to a word, as files hold them: float32, exact.
 *
 * @param words uint32 `[⌈elements / 2⌉]`, the first element in the low half
 */
export function unpackFloat16(words: Tensor, shape: Shape): Tensor {
  return unpackHalf(halfWords(words, shape));
}

/** How numbers lose their last bits. */
export interface Rounding {
  /**
   * uint32 scalar, or a number: rounds up with the probability of what is lost, by random bits of this seed, so that sums of many small
   * updates are right on average. To the nearest, ties to even, where absent.
   */
  readonly seed?: Tensor | number;
}

/** A list in pairs: what the low and the high half of each word hold, float32 `[⌈elements / 2⌉]` each; an odd last one is paired with 0. */
export function pairsOf(x: Tensor): [low: Tensor, high: Tensor] {
  const count = wordsOf(x.size);
  const flat = x.reshape([x.size]);
  const pairs = (x.size % 2 === 0 ? flat : flat.pad([0], [1])).reshape([count, 2]);
  const half = (at: number) => pairs.slice([0, at], [count, at + 1]).reshape([count]);
  return [half(0), half(1)];
}

/** The two bfloat16 numbers of each word: float32, exact. */
export function bfloat16Pairs(words: Tensor): [low: Tensor, high: Tensor] {
  return [fromBits(words.shiftLeft(16)), fromBits(words.bitAnd(0xffff0000))];
}

/** Two bfloat16 numbers in each word, from float32 of one shape. See {@linkcode packBfloat16}. */
export function packBfloat16Pairs(pair: readonly [low: Tensor, high: Tensor], { seed }: Rounding = {}): Tensor {
  const [low, high] = pair.map((x, stream) => {
    const bits = toBits(x);
    const lost = seed === undefined
      ? bits.shiftRight(16).bitAnd(1).add(0x7fff) // half of the last place, less one unless the last bit is odd
      : randomBits(x.shape, { seed, stream }).shiftRight(16);
    const isFinite = bits.bitAnd(0x7f800000).less(0x7f800000);
    const isNumber = bits.bitAnd(0x7fffffff).lessEqual(0x7f800000);
    return isFinite.where(bits.add(lost), isNumber.where(bits, 0x7fc00000)).shiftRight(16);
  });
  return low.bitOr(high.shiftLeft(16));
}

/**
 * Elements as bfloat16, two to a word. Infinities stay; numbers that round beyond the largest become infinite; NaN stays NaN.
 *
 * @param x float32
 * @returns uint32 `[⌈elements / 2⌉]`, the first element in the low half; an odd last one leaves the high half zero
 */
export function packBfloat16(x: Tensor, rounding?: Rounding): Tensor {
  return packBfloat16Pairs(pairsOf(x), rounding);
}

/**
 * Elements as float16, two to a word, rounded to the nearest, ties to even. Magnitudes from 65520 become infinite; NaN stays NaN.
 *
 * @param x float32
 * @returns uint32 `[⌈elements / 2⌉]`, the first element in the low half; an odd last one leaves the high half zero
 */
export function packFloat16(x: Tensor): Tensor {
  const [low, high] = pairsOf(x).map((half) => {
    const rounded = half.cast("float16").cast("float32");
    const bits = toBits(rounded);
    const magnitude = bits.bitAnd(0x7fffffff);
    const normal = magnitude.sub(112 << 23).shiftRight(13); // another bias of the exponent, ten bits of the fraction
    const subnormal = rounded.abs().minimum(1).mul(2 ** 24).cast("uint32");
    const finite = magnitude.less(113 << 23).where(subnormal, normal);
    const other = magnitude.lessEqual(0x7f800000).where(constant(0x7c00, bits.shape, "uint32"), 0x7e00);
    return magnitude.less(0x7f800000).where(finite, other).bitOr(bits.shiftRight(31).shiftLeft(15));
  });
  return low.bitOr(high.shiftLeft(16));
}
