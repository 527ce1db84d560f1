/**
 * Lists of nodes under construction.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import { type Attributes, noAttributes, type Primitive } from "../core/graph.ts";
import { type Box, boxShape } from "../core/pieces.ts";
import type { FlatNode } from "../core/program.ts";
import { sameShape, type Shape } from "../core/shape.ts";
import { primitives } from "../ops/primitives.ts";

/** A part of a tensor, and the node that holds it. */
export interface Part {
  readonly box: Box;
  readonly node: number;
}

/** Adds nodes to a list, equal ones once, and tells their positions. */
export class GraphBuilder {
  readonly nodes: FlatNode[] = [];
  readonly #known = new Map<string, number>();

  /** A node as it is. */
  keep(node: FlatNode): number {
    return this.nodes.push(node) - 1;
  }

  push(op: Primitive, inputs: readonly number[], attributes: Attributes = noAttributes): number {
    const text = `${op.name}${JSON.stringify(attributes)}${inputs}`;
    let position = this.#known.get(text);
    if (position === undefined) {
      const { shape, dtype } = op.infer(inputs.map((input) => this.nodes[input]), attributes);
      this.#known.set(text, position = this.keep({ op, attributes, inputs, shape, dtype }));
    }
    return position;
  }

  constant(value: number, shape: Shape, dtype: DType): number {
    return this.push(primitives.constant, [], { shape, dtype, value });
  }

  reshape(x: number, shape: Shape): number {
    return sameShape(this.nodes[x].shape, shape) ? x : this.push(primitives.reshape, [x], { shape });
  }

  slice(x: number, { start, stop }: Box): number {
    return sameShape(this.nodes[x].shape, boxShape({ start, stop })) ? x : this.push(primitives.slice, [x], { start, stop });
  }

  /** `x`, which is one part of a box, with zeros in the rest of it. */
  pad(x: number, part: Box, { start, stop }: Box): number {
    const before = part.start.map((from, axis) => from - start[axis]);
    const after = part.stop.map((to, axis) => stop[axis] - to);
    return [...before, ...after].every((length) => length === 0) ? x : this.push(primitives.pad, [x], { before, after });
  }

  /** A box from the parts that fill it. */
  stitch(box: Box, parts: readonly Part[]): number {
    const stitched = this.#stitch(box, parts);
    const { dtype } = this.nodes[parts[0].node]; // what is chosen from halves is wider
    return this.nodes[stitched].dtype === dtype ? stitched : this.push(primitives.cast, [stitched], { dtype });
  }

  #stitch(box: Box, parts: readonly Part[]): number {
    if (parts.length === 1) return this.pad(parts[0].node, parts[0].box, box);
    const { axis, at } = seamOf(parts);
    const shape = boxShape(box);
    const isBefore = this.push(primitives.less, [
      this.push(primitives.iota, [], { shape, dtype: "uint32", axis }),
      this.constant(at - box.start[axis], shape, "uint32"),
    ]);
    const sides = [
      parts.filter((part) => part.box.start[axis] < at),
      parts.filter((part) => part.box.start[axis] >= at),
    ];
    return this.push(primitives.where, [isBefore, ...sides.map((side) => this.#stitch(box, side))]);
  }
}

/** Where parts lie on two sides of which none crosses: of all such places the one in the middle. */
function seamOf(parts: readonly Part[]): { readonly axis: number; readonly at: number } {
  for (const axis of parts[0].box.start.keys()) {
    const starts = [...new Set(parts.map(({ box }) => box.start[axis]))].sort((a, b) => a - b).slice(1);
    const seams = starts.filter((at) => parts.every(({ box }) => box.start[axis] >= at || box.stop[axis] <= at));
    if (seams.length > 0) return { axis, at: seams[seams.length >> 1] };
  }
  throw new Error("Cannot put parts together: they overlap");
}
