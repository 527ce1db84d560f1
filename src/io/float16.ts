/**
 * The two 16-bit floats of checkpoints: IEEE 754 half (F16) and bfloat16 (BF16), as bit patterns in a `Uint16Array`.
 *
 * @module
 */

/** Largest finite magnitude of a half-precision float. */
export const FLOAT16_MAX = 65504;

/** Values of half-precision bit patterns; exact. */
export function float16ToFloat32(bits: Uint16Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return Float32Array.from(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
}

/** Nearest half-precision bit patterns, ties to even. Magnitudes from 65520 become infinite. */
export function float32ToFloat16(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  return new Uint16Array(Float16Array.from(values).buffer);
}

/** Values of bfloat16 bit patterns; exact. */
export function bfloat16ToFloat32(bits: Uint16Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** Nearest bfloat16 bit patterns of the values as float32, ties to even. NaN stays NaN, infinities stay infinite. */
export function float32ToBfloat16(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(Float32Array.from(values).buffer);
  const bits = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    bits[i] = isNaN ? word >>> 16 | 0x40 : (word + 0x7fff + (word >>> 16 & 1)) >>> 16;
  }
  return bits;
}
