/**
 * Operations that combine terms, as loops over a space of indices: each operand and the result have an index for some of its axes. So one
 * rule cuts them all.
 *
 * @module
 */

import type { Primitive, WindowRule } from "../core/graph.ts";
import { type Box, boxShape } from "../core/pieces.ts";
import type { FlatNode } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { primitives } from "../ops/primitives.ts";
import type { GraphBuilder } from "./graph_builder.ts";

/** The axes of a space that a tensor has, in its order; -1 for an axis of length 1 that belongs to none. */
export type Axes = readonly number[];

/** The indices of an operation. */
export interface Space {
  readonly lengths: readonly number[];
  readonly output: Axes;
  readonly operands: readonly Axes[];
  /** Adds up the results of two parts of the space, where these are of the same elements. */
  readonly combine: Primitive;
  /** The operation on a part of the space, given windows of its operands. */
  compute(builder: GraphBuilder, windows: readonly number[], part: Box): number;
}

const upTo = (end: number, from = 0) => Array.from({ length: end - from }, (_, index) => from + index);

/** The space of a reduction, a product, or an operation on rows by index. */
export function spaceOf(node: FlatNode, inputs: readonly FlatNode[]): Space {
  if (node.op.kind === "fused" && node.op.windows) return windowSpace(node, inputs, node.op.windows);
  switch (node.op.kind === "reduction" ? node.op.kind : node.op.name) {
    case "reduction":
      return reductionSpace(node, inputs[0]);
    case "matmul":
      return productSpace(node, inputs);
    case "gather":
      return gatherSpace(node, inputs);
    case "scatterAdd":
      return scatterSpace(node, inputs);
    default:
      throw new Error(`Cannot cut ${node.op.name}: nothing says how`);
  }
}

function reductionSpace({ op, attributes }: FlatNode, { shape }: FlatNode): Space {
  const axes = attributes.axes as readonly number[];
  return {
    lengths: shape,
    output: shape.map((_, axis) => axes.includes(axis) ? -1 : axis),
    operands: [upTo(shape.length)],
    combine: op === primitives.max ? primitives.maximum : primitives.add,
    compute: (builder, windows) => builder.push(op as Primitive, windows, attributes),
  };
}

/** Batch, rows, columns, and what is summed over. */
function productSpace({ op, attributes, shape }: FlatNode, inputs: readonly FlatNode[]): Space {
  const rank = shape.length;
  const batch = upTo(rank - 2);
  return {
    lengths: [...shape, inputs[0].shape[rank - 1]],
    output: upTo(rank),
    operands: inputs.map((_, index) => index % 2 === 0 ? [...batch, rank - 2, rank] : [...batch, rank, rank - 1]),
    combine: primitives.add,
    compute: (builder, windows) => builder.push(op as Primitive, windows, attributes),
  };
}

/** Indices as they count in a part of a table. */
function shifted(builder: GraphBuilder, indices: number, first: number): number {
  const { shape, dtype } = builder.nodes[indices];
  return first === 0 ? indices : builder.push(primitives.sub, [indices, builder.constant(first, shape, dtype)]);
}

/** Axes of the indices and of a row, then the rows of the table: each index finds its row in one part of these, and zeros in the others. */
function gatherSpace({ op, attributes, shape }: FlatNode, [table, indices]: readonly FlatNode[]): Space {
  const rows = shape.length;
  const rank = indices.shape.length;
  return {
    lengths: [...shape, table.shape[0]],
    output: upTo(rows),
    operands: [[rows, ...upTo(rows, rank)], upTo(rank)],
    combine: primitives.add,
    compute: (builder, [table, indices], { start }) =>
      builder.push(op as Primitive, [table, shifted(builder, indices, start[rows])], attributes),
  };
}

/** Axes of the updates, then the rows of the result. */
function scatterSpace({ op, shape }: FlatNode, [updates, indices]: readonly FlatNode[]): Space {
  const rows = updates.shape.length;
  const rank = indices.shape.length;
  return {
    lengths: [...updates.shape, shape[0]],
    output: [rows, ...upTo(rows, rank)],
    operands: [upTo(rows), upTo(rank)],
    combine: primitives.add,
    compute: (builder, [updates, indices], { start, stop }) =>
      builder.push(op as Primitive, [updates, shifted(builder, indices, start[rows])], { length: stop[rows] - start[rows] }),
  };
}

/** Axes of the result, then those of inputs that are needed whole. */
function windowSpace(node: FlatNode, inputs: readonly FlatNode[], { axes, place }: WindowRule): Space {
  const lengths = [...node.shape];
  const operands = axes.map((list, index) =>
    list.map((axis, at) => axis >= 0 ? axis : lengths.push(inputs[index].shape[at]) - 1)
  );
  return {
    lengths,
    output: upTo(node.shape.length),
    operands,
    combine: primitives.add,
    compute(builder, windows, { start, stop }) {
      const moved = windows.map((window, index) => index === place?.input ? shifted(builder, window, start[place.axis]) : window);
      const shape = node.shape.map((_, axis) => stop[axis] - start[axis]);
      return builder.keep({ ...node, inputs: moved, shape });
    },
  };
}

/** The part of a tensor that a part of the space needs. */
export function windowIn({ start, stop }: Box, axes: Axes): Box {
  return { start: axes.map((axis) => axis < 0 ? 0 : start[axis]), stop: axes.map((axis) => axis < 0 ? 1 : stop[axis]) };
}

/** A part of a space divided along an axis. */
export interface Division {
  readonly axis: number;
  readonly parts: readonly Box[];
}

/** What decides where a space is divided. */
export interface DivisionSettings {
  readonly operands: readonly Axes[];
  /** For each axis of the space where operands are cut anyway. */
  readonly cuts: readonly (readonly number[])[];
  /** Elements that an operand of a part may have. */
  readonly most: number;
}

/**
 * Divides a part of a space of which an operand is too large: where operands are cut anyway, as far as possible. `undefined` where none
 * is.
 */
export function divisionOf(part: Box, { operands, cuts, most }: DivisionSettings): Division | undefined {
  const large = operands.find((axes) => sizeOf(boxShape(windowIn(part, axes))) > most)?.filter((axis) => axis >= 0);
  if (!large) return undefined;
  const inside = (axis: number) => cuts[axis].filter((at) => part.start[axis] < at && at < part.stop[axis]);
  const cut = large.find((axis) => inside(axis).length > 0);
  const axis = cut ?? large.find((each) => part.stop[each] - part.start[each] > 1)!;
  return { axis, parts: divided(part, axis, cut === undefined ? [middleOf(part.start[axis], part.stop[axis])] : inside(axis)) };
}

/** The middle between two positions, so that the first half is a multiple of four long where that is possible. */
function middleOf(from: number, to: number): number {
  const half = (to - from) >> 1;
  return from + (half < 4 ? Math.max(1, half) : half - half % 4);
}

function divided({ start, stop }: Box, axis: number, ends: readonly number[]): Box[] {
  return [...ends, stop[axis]].map((end, index) => ({
    start: start.with(axis, index === 0 ? start[axis] : ends[index - 1]),
    stop: stop.with(axis, end),
  }));
}
