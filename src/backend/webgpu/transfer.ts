/**
 * Host arrays to buffers and back, in stretches that need little memory besides.
 *
 * @module
 */

import { bytesPerElement, type DType, type TensorData } from "../../core/dtype.ts";
import { TEXEL_BYTES } from "../../core/texels.ts";
import { fromDevice, hostArray, toDevice } from "./convert.ts";
import { copyFromHome, TextureHome } from "./textures.ts";

/** A tensor too large for one buffer, in several. */
export class CutHome {
  constructor(readonly pieces: readonly { readonly buffer: GPUBuffer; readonly bytes: number }[]) {}

  get buffers(): GPUBuffer[] {
    return this.pieces.map(({ buffer }) => buffer);
  }
}

/** Where a tensor lives. */
export type TensorHome = GPUBuffer | TextureHome | CutHome;

/** What is read: elements as the host has them. */
export interface ReadType {
  readonly dtype: DType;
  readonly length: number;
}

/** Most bytes that are written at once: the device keeps a copy until it has taken them over. */
const writtenAtOnce = 2 ** 26;
/** Most bytes that are read at once. */
const readAtOnce = 2 ** 28;

/** Bytes of an element as the device stores it. */
export function deviceBytes(dtype: DType, float16: boolean): number {
  return dtype === "float16" && !float16 ? 4 : bytesPerElement[dtype];
}

/** Fills buffers, one after another, with the elements of an array. */
export function write(
  queue: GPUQueue,
  data: TensorData,
  { buffers, lengths, dtype, float16 }: {
    readonly buffers: readonly GPUBuffer[];
    /** Elements of each buffer. */
    readonly lengths: readonly number[];
    readonly dtype: DType;
    readonly float16: boolean;
  },
): void {
  const size = deviceBytes(dtype, float16);
  const step = writtenAtOnce / size;
  let from = 0;
  buffers.forEach((buffer, index) => {
    for (let at = 0; at < lengths[index]; at += step) {
      const length = Math.min(step, lengths[index] - at);
      const part = length === data.length ? data : data.subarray(from + at, from + at + length) as TensorData;
      queue.writeBuffer(buffer, at * size, toDevice(part, dtype, float16));
      if (length < data.length) queue.submit([]); // so that the copy of this part can go before the next one is made
    }
    from += lengths[index];
  });
}

/** Bytes that are copied together to a buffer for reading. */
interface Stretch {
  /** Position of the tensor in the list of what is read. */
  readonly tensor: number;
  readonly source: GPUBuffer | TextureHome;
  /** Where they begin in their source, in the tensor, and in the buffer for reading. */
  readonly from: number;
  readonly at: number;
  readonly place: number;
  readonly bytes: number;
}

/** What one buffer for reading holds. */
export interface Round {
  readonly bytes: number;
  readonly stretches: readonly Stretch[];
}

/** Textures are copied to multiples of a texel. */
const aligned = (bytes: number) => Math.ceil(bytes / TEXEL_BYTES) * TEXEL_BYTES;

/** How tensors are read in buffers of at most `room` bytes, or of as many as a texture takes; in one where they fit. */
export function readRounds(
  homes: readonly TensorHome[],
  types: readonly ReadType[],
  { room, float16 }: { readonly room: number; readonly float16: boolean },
): Round[] {
  const most = 2 ** Math.floor(Math.log2(Math.min(room, readAtOnce)));
  const rounds: { bytes: number; stretches: Stretch[] }[] = [{ bytes: 0, stretches: [] }];
  homes.forEach((home, tensor) => {
    const bytes = types[tensor].length * deviceBytes(types[tensor].dtype, float16);
    const pieces = home instanceof CutHome ? home.pieces : [{ buffer: home, bytes }];
    let at = 0;
    for (const { buffer: source, bytes } of pieces) {
      for (let from = 0; from < bytes;) {
        let round = rounds[rounds.length - 1];
        const wanted = source instanceof TextureHome ? bytes : Math.min(bytes - from, most);
        const fits = round.bytes + aligned(wanted) <= most || round.bytes === 0;
        if (!fits) rounds.push(round = { bytes: 0, stretches: [] });
        round.stretches.push({ tensor, source, from, at, place: round.bytes, bytes: wanted });
        round.bytes += aligned(wanted);
        from += wanted;
        at += wanted;
      }
    }
  });
  return rounds;
}

/** Copies the stretches of a round to a buffer for reading. */
export function copyRound(encoder: GPUCommandEncoder, { stretches }: Round, staging: GPUBuffer): void {
  for (const { source, from, place, bytes } of stretches) {
    if (source instanceof TextureHome) copyFromHome(encoder, source, staging, place);
    else encoder.copyBufferToBuffer(source, from, staging, place, Math.ceil(bytes / 4) * 4);
  }
}

/** Takes what a round has read into the arrays of the host, which are made where they are missing. */
export function takeRound(
  { stretches }: Round,
  mapped: ArrayBuffer,
  { arrays, types, float16 }: {
    readonly arrays: (TensorData | undefined)[];
    readonly types: readonly ReadType[];
    readonly float16: boolean;
  },
): void {
  for (const { tensor, at, place, bytes } of stretches) {
    const { dtype, length } = types[tensor];
    const size = deviceBytes(dtype, float16);
    const array = arrays[tensor] ??= hostArray(dtype, length);
    array.set(fromDevice(mapped, place, { length: bytes / size, dtype, float16 }), at / size);
  }
}
