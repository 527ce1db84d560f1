/**
 * Numbers in ggml's types that are not ternary: embeddings and heads, as llama.cpp and its quantizer write them.
 * Layouts as in `dequantize_row_*` of ggml (https://github.com/ggml-org/ggml).
 *
 * @module
 */

import { type Bytes, viewAs } from "./bytes.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "./float16.ts";
import { type GgmlType, ggmlTypes } from "./ggml_types.ts";

/** Reads one block: `bytes` from `at` on into `values` from `start` on. `half` reads a half-precision float of `bytes`. */
type BlockReader = (block: {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly values: Float32Array;
  readonly start: number;
  readonly half: (at: number) => number;
}) => void;

const blockReaders = {
  Q4_0({ bytes, at, values, start, half }) {
    const scale = half(at);
    for (let j = 0; j < 16; j++) {
      values[start + j] = scale * ((bytes[at + 2 + j] & 15) - 8);
      values[start + 16 + j] = scale * ((bytes[at + 2 + j] >> 4) - 8);
    }
  },
  Q5_0({ bytes, at, values, start, half }) {
    const scale = half(at);
    const fifth = (j: number) => (bytes[at + 2 + (j >> 3)] >> (j & 7) & 1) << 4;
    for (let j = 0; j < 16; j++) {
      values[start + j] = scale * ((bytes[at + 6 + j] & 15 | fifth(j)) - 16);
      values[start + 16 + j] = scale * ((bytes[at + 6 + j] >> 4 | fifth(16 + j)) - 16);
    }
  },
  Q8_0({ bytes, at, values, start, half }) {
    const scale = half(at);
    for (let j = 0; j < 32; j++) values[start + j] = scale * signed(bytes[at + 2 + j]);
  },
  Q4_K({ bytes, at, values, start, half }) {
    const [scale, offset] = [half(at), half(at + 2)];
    for (let part = 0; part < 8; part++) {
      const [factor, least] = scaleAndLeast(bytes, at + 4, part);
      for (let j = 0; j < 32; j++) {
        const code = bytes[at + 16 + 32 * (part >> 1) + j] >> 4 * (part & 1) & 15;
        values[start + 32 * part + j] = scale * factor * code - offset * least;
      }
    }
  },
  Q6_K({ bytes, at, values, start, half }) {
    const scale = half(at + 208);
    for (let i = 0; i < 256; i++) {
      const [part, row, column] = [i >> 7, i >> 5 & 3, i & 31];
      const low = bytes[at + 64 * part + 32 * (row & 1) + column] >> 4 * (row >> 1) & 15;
      const high = bytes[at + 128 + 32 * part + column] >> 2 * row & 3;
      values[start + i] = scale * signed(bytes[at + 192 + (i >> 4)]) * ((low | high << 4) - 32);
    }
  },
} satisfies Partial<Record<GgmlType, BlockReader>>;

function signed(byte: number): number {
  return byte << 24 >> 24;
}

/** The two numbers of six bits that Q4_K has for each of the eight parts of a block, in twelve bytes. */
function scaleAndLeast(bytes: Uint8Array, at: number, part: number): readonly [number, number] {
  if (part < 4) return [bytes[at + part] & 63, bytes[at + 4 + part] & 63];
  const rest = bytes[at + 4 + part];
  return [rest & 15 | bytes[at + part - 4] >> 6 << 4, rest >> 4 | bytes[at + part] >> 6 << 4];
}

const wholeReaders = {
  F32: (bytes) => viewAs(bytes, Float32Array<ArrayBuffer>),
  F64: (bytes) => Float32Array.from(viewAs(bytes, Float64Array<ArrayBuffer>)),
  F16: (bytes) => float16ToFloat32(viewAs(bytes, Uint16Array<ArrayBuffer>)),
  BF16: (bytes) => bfloat16ToFloat32(viewAs(bytes, Uint16Array<ArrayBuffer>)),
} satisfies Partial<Record<GgmlType, (bytes: Uint8Array) => Float32Array<ArrayBuffer>>>;

/** Types that {@linkcode ggmlFloats} reads. */
export const floatTypes: readonly GgmlType[] = [...Object.keys(wholeReaders), ...Object.keys(blockReaders)] as GgmlType[];

/** Values of a tensor's bytes, a whole number of blocks; `undefined` for a type that is not one of {@linkcode floatTypes}. */
export function ggmlFloats(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> | undefined {
  if (Object.hasOwn(wholeReaders, type)) return wholeReaders[type as keyof typeof wholeReaders](bytes);
  if (!Object.hasOwn(blockReaders, type)) return undefined;
  const read: BlockReader = blockReaders[type as keyof typeof blockReaders];
  const { blockLength, blockBytes } = ggmlTypes[type];
  const values = new Float32Array(bytes.length / blockBytes * blockLength);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const half = (at: number) => view.getFloat16(at, true);
  for (let at = 0, start = 0; at < bytes.length; at += blockBytes, start += blockLength) read({ bytes, at, values, start, half });
  return values;
}

/**
 * Values as Q8_0: blocks of 32 with a half-precision scale, the largest magnitude over 127, and a byte each, rounded half away from
 * zero. The count must be a multiple of 32.
 */
export function float32ToQ8_0(values: Float32Array): Bytes {
  const { blockLength, blockBytes } = ggmlTypes.Q8_0;
  const bytes = new Uint8Array(values.length / blockLength * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let start = 0, at = 0; start < values.length; start += blockLength, at += blockBytes) {
    let largest = 0;
    for (let j = 0; j < blockLength; j++) largest = Math.max(largest, Math.abs(values[start + j]));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setFloat16(at, scale, true);
    for (let j = 0; j < blockLength; j++) {
      const scaled = Math.fround(values[start + j] * inverse);
      view.setInt8(at + 2 + j, Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5));
    }
  }
  return bytes;
}
