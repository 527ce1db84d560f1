/**
 * Tensors larger than one binding: several bindings of one buffer, and functions that find the right one.
 *
 * @module
 */

import { bytesPerElement, type DType } from "../core/dtype.ts";
import type { Binding } from "../core/program.ts";
import type { DeviceLimits } from "../kernels/kernel.ts";

/** A buffer cut into bindings of equal length, but for the last. */
export interface Segments {
  /** Bytes of the whole tensor. */
  readonly bytes: number;
  /** Bytes of each binding. */
  readonly each: number;
}

/** Offsets of bindings must be multiples of this many bytes. */
const alignment = 256;

/** How a tensor has to be cut, or `undefined` where it fits into one binding. */
export function segmentsOf(bytes: number, { maxBindingBytes }: Pick<DeviceLimits, "maxBindingBytes">): Segments | undefined {
  return bytes <= maxBindingBytes ? undefined : { bytes, each: Math.floor(maxBindingBytes / alignment) * alignment };
}

/** Number of bindings. */
export function segmentCount({ bytes, each }: Segments): number {
  return Math.ceil(bytes / each);
}

/** One binding cut into several. */
export function segmentBindings(binding: Binding, segments: Segments): Binding[] {
  return Array.from({ length: segmentCount(segments) }, (_, index) => {
    const offset = index * segments.each;
    const rest = Math.ceil((segments.bytes - offset) / alignment) * alignment; // buffers are that long
    return { ...binding, range: { offset, bytes: Math.min(segments.each, rest) } };
  });
}

/** WGSL functions `read_NAME(at)` and `write_NAME(at, value)` over the buffers NAME_0, NAME_1, …; `width` elements have one position. */
export function segmentFunctions(
  name: string,
  segments: Segments,
  { dtype, type, width, writes }: { dtype: DType; type: string; width: number; writes: boolean },
): string {
  const length = segments.each / bytesPerElement[dtype] / width;
  const last = segmentCount(segments) - 1;
  const choose = (act: (element: string) => string) =>
    Array.from({ length: last + 1 }, (_, index) => {
      const statement = `${act(`${name}_${index}[at - ${index * length}u]`)};`;
      return index === last
        ? `  ${statement}`
        : `  if (at < ${(index + 1) * length}u) { ${statement}${writes ? " return;" : ""} }`;
    }).join("\n");
  return writes
    ? `fn write_${name}(at: u32, value: ${type}) {\n${choose((element) => `${element} = value`)}\n}`
    : `fn read_${name}(at: u32) -> ${type} {\n${choose((element) => `return ${element}`)}\n}`;
}
