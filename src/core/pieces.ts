/**
 * Tensors that are too large for one buffer lie in several, each of which holds a window of the tensor. Programs and devices agree here
 * on how it is cut.
 *
 * @module
 */

import { bytesPerElement } from "./dtype.ts";
import type { TensorType } from "./graph.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** A window of a tensor: along each axis from `start` up to, but without, `stop`. */
export interface Box {
  readonly start: readonly number[];
  readonly stop: readonly number[];
}

/** What of a device decides where tensors are cut. */
export interface CutTarget {
  /** Whether float16 is stored in two bytes, not four. */
  readonly float16: boolean;
  readonly limits: { readonly maxBindingBytes: number };
}

/** Bytes of a tensor as a device stores it. */
export function storedBytes({ shape, dtype }: TensorType, { float16 }: Pick<CutTarget, "float16">): number {
  return sizeOf(shape) * (dtype === "float16" && !float16 ? 4 : bytesPerElement[dtype]);
}

/** Whether a tensor is too large for one buffer. */
export function isLarge(type: TensorType, target: CutTarget): boolean {
  return storedBytes(type, target) > target.limits.maxBindingBytes;
}

/** Most elements of a piece: as many as are stored in four bytes each, so that pieces of all dtypes are the same. */
export function mostElements({ limits }: Pick<CutTarget, "limits">): number {
  return Math.max(1, Math.floor(limits.maxBindingBytes / 4));
}

/** Shape of a box. */
export function boxShape({ start, stop }: Box): number[] {
  return stop.map((end, axis) => end - start[axis]);
}

/** The whole of a shape. */
export function wholeBox(shape: Shape): Box {
  return { start: shape.map(() => 0), stop: shape };
}

/**
 * The pieces of a large tensor, in row-major order. Each lies side by side in memory: some neighbouring indices of one axis, one of each
 * axis before it, all of those behind. Lengths are about equal, and multiples of four where that is possible.
 *
 * @param most elements of a piece, at least 1
 */
export function piecesOf(shape: Shape, most: number): Box[] {
  let axis = 0;
  let inner = sizeOf(shape) / shape[0];
  while (inner > most) inner /= shape[++axis];
  const inFours = (length: number) => length < 4 ? length : length - length % 4;
  const longest = inFours(Math.floor(most / inner));
  const even = Math.ceil(shape[axis] / Math.ceil(shape[axis] / longest));
  const each = Math.min(longest, 4 * Math.ceil(even / 4));
  const pieces: Box[] = [];
  const before = shape.slice(0, axis);
  for (let place = 0; place < sizeOf(before); place++) {
    let rest = place;
    const fixed = before.toReversed().map((length) => {
      const at = rest % length;
      rest = (rest - at) / length;
      return at;
    }).reverse();
    for (let from = 0; from < shape[axis]; from += each) {
      pieces.push({
        start: [...fixed, from, ...shape.slice(axis + 1).fill(0)],
        stop: [...fixed.map((at) => at + 1), Math.min(shape[axis], from + each), ...shape.slice(axis + 1)],
      });
    }
  }
  return pieces;
}

/** Elements of each piece of a tensor on a device; `undefined` where it lies in one buffer. */
export function pieceLengths(type: TensorType, target: CutTarget): number[] | undefined {
  if (!isLarge(type, target)) return undefined;
  return piecesOf(type.shape, mostElements(target)).map((box) => sizeOf(boxShape(box)));
}

/**
 * The elements from `from` up to `to` of a row-major shape as boxes, in their order: part of a first row, whole rows, part of a last one,
 * and the same within rows.
 */
export function rangeBoxes(shape: Shape, from: number, to: number): Box[] {
  if (shape.length === 0) return [{ start: [], stop: [] }];
  const [length, ...rest] = shape;
  const inner = sizeOf(rest);
  const [first, last] = [Math.floor(from / inner), Math.floor(to / inner)];
  const inRow = (row: number, start: number, stop: number) =>
    rangeBoxes(rest, start, stop).map((box) => ({ start: [row, ...box.start], stop: [row + 1, ...box.stop] }));
  if (first === last && first < length) return inRow(first, from % inner, to % inner);
  const head = from % inner === 0 ? [] : inRow(first, from % inner, inner);
  const tail = to % inner === 0 ? [] : inRow(last, 0, to % inner);
  const rows = first + (head.length > 0 ? 1 : 0);
  const middle = rows < last ? [{ start: [rows, ...rest.map(() => 0)], stop: [last, ...rest] }] : [];
  return [...head, ...middle, ...tail];
}

/** Where the elements of a box lie side by side, those from and to; `undefined` where others lie between them. */
export function rangeOf({ start, stop }: Box, shape: Shape): { readonly from: number; readonly to: number } | undefined {
  const long = start.findIndex((from, axis) => stop[axis] - from > 1);
  const isWhole = (axis: number) => start[axis] === 0 && stop[axis] === shape[axis];
  if (long >= 0 && !shape.slice(long + 1).every((_, behind) => isWhole(long + 1 + behind))) return undefined;
  const from = start.reduce((position, at, axis) => position * shape[axis] + at, 0);
  return { from, to: from + sizeOf(boxShape({ start, stop })) };
}

/** What two boxes share; `undefined` for nothing. */
export function intersection(a: Box, b: Box): Box | undefined {
  const start = a.start.map((from, axis) => Math.max(from, b.start[axis]));
  const stop = a.stop.map((to, axis) => Math.min(to, b.stop[axis]));
  return start.every((from, axis) => from < stop[axis]) ? { start, stop } : undefined;
}
