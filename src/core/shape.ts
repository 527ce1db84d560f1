/**
 * Shape arithmetic: pure functions over lists of lengths.
 *
 * @module
 */

import { atCaller } from "./errors.ts";

/** Lengths of the axes, outermost first. `[]` is a scalar. */
export type Shape = readonly number[];

/** Number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const length of shape) size *= length;
  return size;
}

/** Throws a `RangeError` that names the action unless every length is an integer of at least 0. */
export function requireLengths(shape: Shape, action: string): void {
  if (shape.every((length) => Number.isInteger(length) && length >= 0)) return;
  throw atCaller(new RangeError(`Cannot ${action} of [${shape}]: wanted lengths that are integers of at least 0`));
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** The shape that a tensor is given, its one length of -1 filled in. Throws a `RangeError` where that cannot be known. */
export function completeShape(shape: Shape, of: { readonly size: number }): Shape {
  const unknown = shape.indexOf(-1);
  if (unknown < 0) return shape;
  const known = sizeOf(shape.toSpliced(unknown, 1));
  if (known > 0) return shape.with(unknown, of.size / known);
  throw atCaller(new RangeError(`Cannot reshape ${of} to [${shape}]: one length may be -1, beside others that are not 0`));
}

/** Whether two shapes are the same list of lengths. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}

/** The shape that two shapes broadcast to (aligned at the last axis, lengths of 1 stretch), or `undefined`. */
export function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const result: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) return undefined;
    result.push(m === 1 ? n : m);
  }
  return result;
}

/** Axis as an index from 0; negative axes count from the end. Throws a `RangeError` that names the action and the shape. */
export function normalizeAxis(axis: number, shape: Shape, action: string): number {
  const index = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(axis) || index < 0 || index >= shape.length) {
    throw atCaller(
      new RangeError(
        `Cannot ${action}: axis ${axis} is not an axis of [${shape}], wanted ${-shape.length} to ${shape.length - 1}`,
      ),
    );
  }
  return index;
}

/** Axes (one, several, or all when undefined) as sorted distinct indices from 0. */
export function normalizeAxes(axes: number | readonly number[] | undefined, shape: Shape, action: string): number[] {
  if (axes === undefined) return shape.map((_, axis) => axis);
  const list = (typeof axes === "number" ? [axes] : axes).map((axis) => normalizeAxis(axis, shape, action));
  const distinct = [...new Set(list)].sort((a, b) => a - b);
  if (distinct.length !== list.length) {
    throw atCaller(new RangeError(`Cannot ${action}: axes [${axes}] of [${shape}] name one axis twice`));
  }
  return distinct;
}
