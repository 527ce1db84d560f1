/**
 * Tensors that no buffer holds are cut in pieces (`core/pieces.ts`), and what computes them becomes computations of the pieces, each from
 * the windows of its operands that it needs. No later stage knows of tensors that are too large.
 *
 * @module
 */

import type { Primitive } from "../core/graph.ts";
import {
  type Box,
  boxShape,
  type CutTarget,
  intersection,
  isLarge,
  mostElements,
  piecesOf,
  rangeBoxes,
  rangeOf,
  wholeBox,
} from "../core/pieces.ts";
import type { FlatNode, Graph } from "../core/program.ts";
import { sameShape, type Shape, sizeOf } from "../core/shape.ts";
import { prune } from "./choose.ts";
import { GraphBuilder, type Part } from "./graph_builder.ts";
import { mostPositions, tooManyPositions } from "./positions.ts";
import { divisionOf, type DivisionSettings, type Space, spaceOf, windowIn } from "./spaces.ts";

/** A graph of tensors that buffers hold, and what became of inputs and outputs. */
export interface CutGraph {
  readonly graph: Graph;
  /** Into how many each input and each output was cut, if any was. */
  readonly pieces?: { readonly inputs: readonly number[]; readonly outputs: readonly number[] };
}

/** Cuts the large ones among the nodes that have memory. */
export function cutLarge(graph: Graph, stored: readonly boolean[], target: CutTarget): CutGraph {
  const large = new Set(graph.nodes.keys().filter((position) => stored[position] && isLarge(graph.nodes[position], target)));
  if (large.size === 0) return { graph };
  const endless = graph.nodes.find((node, position) => large.has(position) && sizeOf(node.shape) > mostPositions);
  if (endless) throw tooManyPositions(endless.op.name, endless);
  return new Cutter(graph, large, target).run();
}

/** Shape without axes of length 1. */
const longAxes = (shape: Shape) => shape.filter((length) => length !== 1);

class Cutter {
  readonly #builder = new GraphBuilder();
  /** Places of the nodes that stay whole, or that were put together. */
  readonly #whole = new Map<number, number>();
  readonly #pieces = new Map<number, readonly Part[]>();
  readonly #windows = new Map<string, number>();
  readonly #cuts = new Map<number, readonly (readonly number[])[]>();
  readonly #most: number;

  constructor(private readonly graph: Graph, private readonly large: ReadonlySet<number>, private readonly target: CutTarget) {
    this.#most = mostElements(target);
  }

  run(): CutGraph {
    const { nodes, leaves, outputs, donated } = this.graph;
    const inputs = leaves.map((position) => this.large.has(position) ? this.#boxesOf(position).length : 1);
    const firsts = inputs.map((_, index) => inputs.slice(0, index).reduce((sum, count) => sum + count, 0));
    nodes.forEach((node, position) => this.#add(node, position, firsts));
    const placesOf = (position: number) =>
      this.large.has(position) ? this.#piecesOf(position).map(({ node }) => node) : [this.#whole.get(position)!];
    const places = outputs.map(placesOf);
    const graph = prune({
      nodes: this.#builder.nodes,
      leaves: leaves.flatMap(placesOf),
      outputs: places.flat(),
      donated: new Set([...donated].flatMap((index) => Array.from({ length: inputs[index] }, (_, k) => firsts[index] + k))),
    });
    return { graph, pieces: { inputs, outputs: places.map(({ length }) => length) } };
  }

  #boxesOf(position: number): Box[] {
    return piecesOf(this.graph.nodes[position].shape, this.#most);
  }

  /** Nodes come in their order, so those that another one needs are there. */
  #add(node: FlatNode, position: number, firsts: readonly number[]): void {
    if (this.large.has(position)) {
      if (node.leaf !== undefined) this.#pieces.set(position, this.#leafPieces(node, position, firsts[node.leaf]));
      else this.#piecesOf(position);
    } else if (node.inputs.every((input) => this.#whole.has(input))) {
      const inputs = node.inputs.map((input) => this.#whole.get(input)!);
      const moved = node.leaf === undefined ? { inputs } : { leaf: firsts[node.leaf] };
      this.#whole.set(position, this.#builder.keep({ ...node, ...moved }));
    } else if (!isLarge(node, this.target)) {
      this.#whole.set(position, this.#window(position, wholeBox(node.shape)));
    }
  }

  #leafPieces(node: FlatNode, position: number, first: number): Part[] {
    return this.#boxesOf(position).map((box, index) => ({
      box,
      node: this.#builder.keep({ ...node, shape: boxShape(box), leaf: first + index }),
    }));
  }

  /** The pieces of a node that is stored. */
  #piecesOf(position: number): readonly Part[] {
    let pieces = this.#pieces.get(position);
    if (!pieces) {
      pieces = this.#boxesOf(position).map((box) => ({ box, node: this.#computed(position, box) }));
      this.#pieces.set(position, pieces);
    }
    return pieces;
  }

  /** The place of a window of a node. */
  #window(position: number, box: Box): number {
    const whole = this.#whole.get(position);
    if (whole !== undefined) return this.#builder.slice(whole, box);
    const key = `${position}:${box.start}:${box.stop}`;
    let place = this.#windows.get(key);
    if (place === undefined) {
      place = this.#pieces.has(position) ? this.#fromPieces(position, box) : this.#computed(position, box);
      this.#windows.set(key, place);
    }
    return place;
  }

  #fromPieces(position: number, box: Box): number {
    const parts = this.#piecesOf(position).flatMap((piece): Part[] => {
      const shared = intersection(piece.box, box);
      return shared ? [{ box: shared, node: this.#builder.slice(piece.node, relative(shared, piece.box)) }] : [];
    });
    return this.#builder.stitch(box, parts);
  }

  #computed(position: number, box: Box): number {
    const node = this.graph.nodes[position];
    const { op, inputs, attributes } = node;
    switch (op.kind) {
      case "elementwise":
        return this.#builder.push(op, inputs.map((input) => this.#window(input, box)), attributes);
      case "generator":
        return this.#builder.slice(this.#builder.push(op, [], attributes), box);
      case "view":
        return this.#viewed(position, box);
      default:
        return this.#combined(node, box);
    }
  }

  /** A window of a view, by the windows of what it shows. */
  #viewed(position: number, box: Box): number {
    const { op, inputs: [input], attributes } = this.graph.nodes[position];
    const { start, stop } = box;
    const { shape } = this.graph.nodes[input];
    const wanted = boxShape(box);
    switch (op.name) {
      case "reshape":
        return this.#reshaped(position, box);
      case "pad":
        return this.#padded(position, box);
      case "slice": {
        const by = attributes.start as readonly number[];
        return this.#window(input, {
          start: start.map((from, axis) => from + by[axis]),
          stop: stop.map((to, axis) => to + by[axis]),
        });
      }
      case "permute": {
        const order = attributes.order as readonly number[];
        const axes = order.map((_, axis) => order.indexOf(axis));
        return this.#builder.push(op as Primitive, [this.#window(input, windowIn(box, axes))], attributes);
      }
      case "expand": {
        const window = this.#window(input, windowIn(box, shape.map((length, axis) => length === 1 ? -1 : axis)));
        return sameShape(this.#builder.nodes[window].shape, wanted)
          ? window
          : this.#builder.push(op as Primitive, [window], { shape: wanted });
      }
      case "flip": {
        const axis = attributes.axis as number;
        const turned = { start: start.with(axis, shape[axis] - stop[axis]), stop: stop.with(axis, shape[axis] - start[axis]) };
        return this.#builder.push(op as Primitive, [this.#window(input, turned)], attributes);
      }
      default:
        return this.#builder.push(op as Primitive, [this.#window(input, box)], attributes);
    }
  }

  #padded(position: number, box: Box): number {
    const { inputs: [input], attributes, dtype } = this.graph.nodes[position];
    const before = attributes.before as readonly number[];
    const moved = (places: readonly number[]) => places.map((at, axis) => at - before[axis]);
    const wanted = { start: moved(box.start), stop: moved(box.stop) };
    const shared = intersection(wanted, wholeBox(this.graph.nodes[input].shape));
    if (!shared) return this.#builder.constant(0, boxShape(box), dtype);
    return this.#builder.pad(this.#window(input, shared), shared, wanted);
  }

  /** Elements that lie side by side lie so under every shape. What does not is taken from pieces of the shape that is wanted. */
  #reshaped(position: number, box: Box): number {
    const { inputs: [input], shape } = this.graph.nodes[position];
    const before = this.graph.nodes[input].shape;
    const wanted = boxShape(box);
    const range = rangeOf(box, shape);
    if (sameShape(longAxes(before), longAxes(shape)) && !range) {
      return this.#builder.reshape(this.#window(input, sameLongAxes(box, shape, before)), wanted);
    }
    if (!range) {
      this.#piecesOf(position);
      return this.#fromPieces(position, box);
    }
    let from = 0;
    const parts = rangeBoxes(before, range.from, range.to).map((part): Part => {
      const length = sizeOf(boxShape(part));
      from += length;
      const node = this.#builder.reshape(this.#window(input, part), [length]);
      return { box: { start: [from - length], stop: [from] }, node };
    });
    const [only] = parts;
    if (parts.length === 1) return this.#builder.reshape(only.node, wanted);
    return this.#builder.reshape(this.#builder.stitch({ start: [0], stop: [from] }, parts), wanted);
  }

  /** A window of a reduction, a product, or of rows by index: put together from parts of which no operand is too large. */
  #combined(node: FlatNode, box: Box): number {
    const { nodes } = this.graph;
    const space = spaceOf(node, node.inputs.map((input) => nodes[input]));
    const start = space.lengths.map(() => 0), stop = [...space.lengths];
    space.output.forEach((axis, index) => {
      if (axis >= 0) [start[axis], stop[axis]] = [box.start[index], box.stop[index]];
    });
    const cuts: Set<number>[] = space.lengths.map(() => new Set());
    node.inputs.forEach((input, index) =>
      this.#cutsOf(input).forEach((places, axis) => places.forEach((at) => cuts[space.operands[index][axis]]?.add(at)))
    );
    const sorted = cuts.map((places) => [...places].sort((a, b) => a - b));
    const operands = space.operands.filter((_, index) => !this.#whole.has(node.inputs[index])); // what is whole fits, or has no memory
    return this.#part(node, space, { part: { start, stop }, operands, cuts: sorted, most: this.#most });
  }

  /** What a part of a space gives: added up or put together from smaller parts where an operand of it is too large. */
  #part(node: FlatNode, space: Space, { part, ...settings }: DivisionSettings & { readonly part: Box }): number {
    const division = divisionOf(part, settings);
    if (!division) {
      const windows = node.inputs.map((input, index) => this.#window(input, windowIn(part, space.operands[index])));
      return space.compute(this.#builder, windows, part);
    }
    const results = division.parts.map((each): Part => ({
      box: windowIn(each, space.output),
      node: this.#part(node, space, { part: each, ...settings }),
    }));
    if (space.output.includes(division.axis)) return this.#builder.stitch(windowIn(part, space.output), results);
    return results.map(({ node }) => node).reduce((sum, each) => this.#builder.push(space.combine, [sum, each]));
  }

  /** Where a node is cut along each axis. */
  #cutsOf(position: number): readonly (readonly number[])[] {
    let cuts = this.#cuts.get(position);
    if (!cuts) this.#cuts.set(position, cuts = this.#findCuts(position));
    return cuts;
  }

  #findCuts(position: number): readonly (readonly number[])[] {
    const { op, inputs, shape, attributes } = this.graph.nodes[position];
    const pieces = this.#pieces.get(position);
    if (pieces) return shape.map((_, axis) => [...new Set(pieces.map(({ box }) => box.start[axis]))]);
    if (this.#whole.has(position)) return shape.map(() => []);
    if (op.kind === "elementwise") {
      const all = inputs.map((input) => this.#cutsOf(input));
      return all.find((cuts) => cuts.some(({ length }) => length > 0)) ?? all[0];
    }
    if (op.kind !== "view") return shape.map(() => []);
    const [input] = inputs;
    const inner = this.#cutsOf(input);
    const before = this.graph.nodes[input].shape;
    const maps = op.map(before, attributes);
    if (!maps) return reshapedCuts(inner, before, shape);
    const cuts: readonly number[][] = shape.map(() => []);
    maps.forEach(({ axis, start, step }, from) => {
      if (axis >= 0) cuts[axis].push(...inner[from].map((at) => step < 0 ? start + 1 - at : at - start));
    });
    return cuts;
  }
}

/** A box as it lies in another one. */
function relative({ start, stop }: Box, within: Box): Box {
  const moved = (places: readonly number[]) => places.map((at, axis) => at - within.start[axis]);
  return { start: moved(start), stop: moved(stop) };
}

/** A box under a shape that has other axes of length 1. */
function sameLongAxes({ start, stop }: Box, shape: Shape, wanted: Shape): Box {
  const axes = [...shape.keys()].filter((axis) => shape[axis] !== 1);
  let next = 0;
  return windowIn({ start, stop }, wanted.map((length) => length === 1 ? -1 : axes[next++]));
}

/** Cuts between rows of one shape that lie between rows of another one. */
function reshapedCuts(cuts: readonly (readonly number[])[], before: Shape, shape: Shape): readonly (readonly number[])[] {
  const outermost = (lengths: Shape) => Math.max(0, lengths.findIndex((length) => length !== 1));
  const [from, to] = [outermost(before), outermost(shape)];
  const rows = sizeOf(before.slice(from + 1)) / sizeOf(shape.slice(to + 1));
  return shape.map((_, axis) => axis === to ? (cuts[from] ?? []).map((at) => at * rows).filter(Number.isInteger) : []);
}
