/**
 * Views as strided windows: what lets a kernel read a transpose or a broadcast without a copy.
 *
 * @module
 */

import type { AxisMap, Strided } from "../core/graph.ts";
import type { FlatNode } from "../core/program.ts";
import { type Shape, stridesOf } from "../core/shape.ts";

/** The window that is a whole row-major buffer. */
export function contiguous(shape: Shape): Strided {
  return { shape, strides: stridesOf(shape), offset: 0 };
}

/** Whether the window is exactly its buffer from the start, row-major. */
export function isContiguous({ shape, strides, offset }: Strided): boolean {
  const wanted = stridesOf(shape);
  return offset === 0 && shape.every((length, axis) => length <= 1 || strides[axis] === wanted[axis]);
}

function mapAxes(view: Strided, maps: readonly AxisMap[], shape: Shape): Strided {
  const strides = shape.map(() => 0);
  let offset = view.offset;
  maps.forEach(({ axis, start, step }, inputAxis) => {
    offset += start * view.strides[inputAxis];
    if (axis >= 0) strides[axis] += step * view.strides[inputAxis];
  });
  return { shape, strides, offset };
}

/** Axes of more than one element, neighbours merged where one stride steps over the whole of the next. */
function mergedAxes({ shape, strides }: Strided): { length: number; stride: number }[] {
  const merged: { length: number; stride: number }[] = [];
  shape.forEach((length, axis) => {
    if (length === 1) return;
    const last = merged.at(-1);
    if (last && last.stride === strides[axis] * length) {
      last.length *= length;
      last.stride = strides[axis];
    } else merged.push({ length, stride: strides[axis] });
  });
  return merged;
}

/** The window under another shape, or `undefined` where no strides can express it. */
export function reshapeStrided(view: Strided, shape: Shape): Strided | undefined {
  if (shape.includes(0)) return { shape, strides: stridesOf(shape), offset: 0 };
  const pieces = mergedAxes(view).reverse();
  const strides = new Array<number>(shape.length).fill(0);
  let piece = 0;
  let taken = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    const current = pieces[piece];
    if (!current || current.length % (taken * shape[axis]) !== 0) return undefined;
    strides[axis] = current.stride * taken;
    taken *= shape[axis];
    if (taken === current.length) {
      piece++;
      taken = 1;
    }
  }
  return { shape, strides, offset: view.offset };
}

/** What a kernel reads. */
export interface Window {
  /** The stored node. */
  readonly base: number;
  readonly view: Strided;
  /** Nodes that have to be known before it is read. */
  readonly waits: readonly number[];
}

/** Whether a kernel may read what the node is made from in its place. */
const isWindow = ({ op }: FlatNode): boolean =>
  op.kind === "view" && !op.guarded || op.kind === "elementwise" && op.isAlias === true;

/**
 * The stored node behind a chain of views and aliases, and the window on it. Padding ends the chain, and so does a view that no strides
 * express, such as a reversal or a reshape of a transpose: that one is stored.
 */
export function windowOf(nodes: readonly FlatNode[], position: number): Window {
  const chain: number[] = [];
  const waits: number[] = [];
  let base = position;
  while (isWindow(nodes[base])) {
    chain.push(base);
    waits.push(...nodes[base].inputs.slice(1));
    base = nodes[base].inputs[0];
  }
  let view: Strided = contiguous(nodes[base].shape);
  for (const link of chain.reverse()) {
    const node = nodes[link];
    if (node.op.kind !== "view") continue;
    const maps = node.op.map(view.shape, node.attributes);
    const next = maps ? mapAxes(view, maps, node.shape) : reshapeStrided(view, node.shape);
    if (next && next.strides.every((stride) => stride >= 0)) view = next;
    else [base, view] = [link, contiguous(node.shape)];
  }
  return { base, view, waits };
}
