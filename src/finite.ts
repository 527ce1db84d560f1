/**
 * Numbers that are NaN or infinite, told by the tensor that holds them.
 *
 * @module
 */

import { isFloat } from "./core/dtype.ts";
import type { Tensor } from "./tensor.ts";

/** The largest finite float32. */
const largest = 3.4028234663852886e38;

/** uint32 ones where a number is neither NaN nor infinite. */
export function isFinite(x: Tensor): Tensor {
  return x.abs().lessEqual(largest);
}

/** How many numbers are NaN or infinite: a float32 scalar, at least 1 where there is one. */
function countNotFinite(x: Tensor): Tensor {
  return isFinite(x).equal(0).cast("float32").sum();
}

/** Where a NaN or infinite number stands. */
export interface NotFinite {
  /** Of the tensor. */
  readonly name: string;
  /** Position in row-major order. */
  readonly index: number;
  readonly value: number;
}

/** The first NaN or infinite number of the first tensor that holds one; `undefined` where all are finite. Counts on the device. */
export async function firstNotFinite(tensors: Readonly<Record<string, Tensor>>): Promise<NotFinite | undefined> {
  const floats = Object.entries(tensors).filter(([, { dtype }]) => isFloat(dtype));
  const counts = await Promise.all(floats.map(async ([, x]) => {
    const count = countNotFinite(x);
    return await count.item().finally(() => count.dispose());
  }));
  const found = floats.find((_, at) => counts[at] !== 0);
  if (!found) return undefined;
  const [name, tensor] = found;
  return { name, ...notFiniteIn(await tensor.data())! };
}

/** The first NaN or infinite number of a list. */
export function notFiniteIn(values: ArrayLike<number>): Omit<NotFinite, "name"> | undefined {
  for (let index = 0; index < values.length; index++) {
    if (!(Math.abs(values[index]) <= largest)) return { index, value: values[index] };
  }
  return undefined;
}

/** Says where a number stands, and what to do about it. */
export function describeNotFinite({ name, index, value }: NotFinite): string {
  return `"${name}" holds ${value} at ${index}; wanted finite numbers. Take an earlier checkpoint, or the file that it came from anew`;
}

/** Throws a RangeError that names the first tensor with a NaN or infinite number, and where it stands. */
export async function requireFinite(tensors: Readonly<Record<string, Tensor>>, action: string): Promise<void> {
  const found = await firstNotFinite(tensors);
  if (found) throw new RangeError(`Cannot ${action}: ${describeNotFinite(found)}`);
}
