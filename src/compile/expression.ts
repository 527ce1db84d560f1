/**
 * WGSL expressions of nodes that are computed in place: views become index arithmetic, equal expressions are written once.
 *
 * @module
 */

import type { AxisMap } from "../core/graph.ts";
import type { FlatNode } from "../core/program.ts";
import { type Shape, sizeOf, stridesOf } from "../core/shape.ts";
import { fourOf, wgslType, zero } from "../core/wgsl.ts";
import type { Load } from "./code_buffers.ts";
import { mostPositions, tooManyPositions } from "./positions.ts";

/** Where an element lies: its row-major position, its coordinates, or both, as WGSL expressions of type u32. */
export interface Index {
  readonly linear?: string;
  readonly coordinates?: readonly string[];
}

const literal = (text: string): number | undefined => /^\d+u$/.test(text) ? parseInt(text) : undefined;

function add(a: string, b: string): string {
  const [m, n] = [literal(a), literal(b)];
  if (m !== undefined && n !== undefined) return `${m + n}u`;
  if (m === 0) return b;
  return n === 0 ? a : `(${a} + ${b})`;
}

function multiply(a: string, factor: number): string {
  const m = literal(a);
  if (m !== undefined) return `${m * factor}u`;
  if (factor === 0) return "0u";
  return factor === 1 ? a : `(${a} * ${factor}u)`;
}

/** A shape in units of four neighbouring elements. */
export function quads(shape: Shape): Shape {
  return [...shape.slice(0, -1), shape[shape.length - 1] / 4];
}

/** Identifies a place in a row-major array; axes of length 1 do not matter. */
function signature(shape: Shape, coordinates: readonly string[]): string {
  return `${shape.filter((length) => length !== 1)}|${coordinates.filter((_, axis) => shape[axis] !== 1)}`;
}

/** Input coordinates of a view from output coordinates. */
function mapCoordinates(maps: readonly AxisMap[], outer: readonly string[]): string[] {
  return maps.map(({ axis, start, step }) => {
    if (axis < 0) return `${start}u`;
    if (step === -1) return `(${start}u - ${outer[axis]})`;
    return start >= 0 ? add(outer[axis], `${start}u`) : `(${outer[axis]} - ${-start}u)`;
  });
}

/** Conditions under which the coordinates of a padded tensor lie inside of the tensor that was padded. */
function insideConditions(maps: readonly AxisMap[], outer: readonly string[], shapes: { input: Shape; output: Shape }): string[] {
  return maps.flatMap(({ axis, start }, inputAxis) => {
    const length = shapes.input[inputAxis];
    if (length === shapes.output[axis]) return [];
    const end = `${outer[axis]} < ${length - start}u`;
    return start < 0 ? [`${outer[axis]} >= ${-start}u`, end] : [end];
  });
}

/** Writes expressions as a list of `let` statements; one instance for each scope. */
export class ExpressionWriter {
  readonly lines: string[] = [];
  readonly #names = new Map<string, string>();
  readonly #positions = new Map<string, string>();
  readonly #values = new Map<string, string>();

  /**
   * @param nodes the graph
   * @param load reads a stored node at a row-major position
   * @param prefix begins the names of this scope's variables
   */
  constructor(
    private readonly nodes: readonly FlatNode[],
    private readonly load: Load,
    private readonly prefix: string,
  ) {}

  /** Name of a variable that holds the expression; names and literals stand for themselves. */
  define(text: string): string {
    return /^[\w.]+$/.test(text) ? text : this.#variable(text);
  }

  #variable(text: string): string {
    let name = this.#names.get(text);
    if (!name) {
      name = `${this.prefix}${this.#names.size}`;
      this.#names.set(text, name);
      this.lines.push(`let ${name} = ${text};`);
    }
    return name;
  }

  /** Row-major position from an index. */
  linear(index: Index, shape: Shape): string {
    if (index.linear !== undefined) return index.linear;
    const coordinates = index.coordinates!;
    const known = this.#positions.get(signature(shape, coordinates));
    if (known !== undefined) return known;
    if (sizeOf(shape) > mostPositions) throw tooManyPositions("a view", { shape, dtype: "float32" });
    const strides = stridesOf(shape);
    return this.define(
      coordinates.reduce(
        (sum, coordinate, axis) => shape[axis] === 1 ? sum : add(sum, multiply(coordinate, strides[axis])),
        "0u",
      ),
    );
  }

  /** Coordinates from an index. */
  coordinates(index: Index, shape: Shape): readonly string[] {
    if (index.coordinates) return index.coordinates;
    const linear = index.linear!;
    const strides = stridesOf(shape);
    const outermost = shape.findIndex((length) => length !== 1);
    const coordinates = shape.map((length, axis) => {
      if (length === 1) return "0u";
      const quotient = strides[axis] === 1 ? linear : this.define(`${linear} / ${strides[axis]}u`);
      return axis === outermost ? quotient : this.define(`${quotient} % ${length}u`);
    });
    this.#positions.set(signature(shape, coordinates), linear);
    return coordinates;
  }

  /** Variable that holds a node's element. */
  value(position: number, at: Index): string {
    const { shape, dtype } = this.nodes[position];
    if (shape.includes(0)) return this.#variable(zero(dtype)); // behind padding, say: no element is ever read
    const linear = at.linear ?? this.#positions.get(signature(shape, at.coordinates!));
    const index = { linear, coordinates: at.coordinates };
    const key = `${position}@${linear ?? at.coordinates}`;
    let name = this.#values.get(key);
    if (name === undefined) {
      const loaded = this.load(position, () => this.linear(index, shape), false);
      name = loaded === undefined ? this.#computed(this.nodes[position], index) : this.define(loaded);
      this.#values.set(key, name);
    }
    return name;
  }

  #computed(node: FlatNode, index: Index): string {
    const { op } = node;
    switch (op.kind) {
      case "elementwise": {
        const operands = node.inputs.map((input) => this.value(input, index));
        return this.define(
          op.wgsl(operands, { inputs: node.inputs.map((input) => this.nodes[input].dtype), output: node.dtype, wide: false }),
        );
      }
      case "generator": {
        const coordinates = op.name === "constant" ? [] : this.coordinates(index, node.shape);
        // a variable even for a literal: WGSL rejects expressions of literals alone that overflow
        return this.#variable(op.wgsl(coordinates, node.attributes, node.dtype));
      }
      case "view": {
        const [input] = node.inputs;
        const maps = op.map(this.nodes[input].shape, node.attributes);
        if (!maps) return this.value(input, { linear: this.linear(index, node.shape) });
        if (op.name === "stopGradient") return this.value(input, index);
        return this.#mapped(node, maps, index);
      }
      case "gather":
        return this.#gathered(node, index);
      default:
        throw new Error(`Cannot compute ${op.name} in place: it must be stored`);
    }
  }

  /**
   * Variable that holds four neighbouring elements of a node. The index counts in fours: its position, or its last coordinate.
   * Where the four do not stay neighbours on the way to memory, they are computed one by one.
   */
  wideValue(position: number, at: Index): string {
    const node = this.nodes[position];
    if (node.shape.includes(0)) return this.#splat(zero(node.dtype), node);
    const shape = quads(node.shape);
    const linear = at.linear ?? this.#positions.get(signature(shape, at.coordinates!));
    const index = { linear, coordinates: at.coordinates };
    const key = `wide${position}@${linear ?? at.coordinates}`;
    let name = this.#values.get(key);
    if (name === undefined) {
      const loaded = this.load(position, () => this.linear(index, shape), true);
      name = loaded === undefined ? this.#wideComputed(position, index) : this.define(loaded);
      this.#values.set(key, name);
    }
    return name;
  }

  #wideComputed(position: number, index: Index): string {
    const node = this.nodes[position];
    const { op, inputs, dtype } = node;
    const typesOf = () => ({ inputs: inputs.map((input) => this.nodes[input].dtype), output: dtype, wide: true });
    if (op.kind === "elementwise") return this.define(op.wgsl(inputs.map((input) => this.wideValue(input, index)), typesOf()));
    if (op.kind === "generator" && op.name === "constant") return this.#splat(op.wgsl([], node.attributes, dtype), node);
    if (op.kind === "gather") return this.#wideGathered(position, index);
    if (op.kind !== "view") return this.#oneByOne(position, index);
    if (op.name === "stopGradient") return this.wideValue(inputs[0], index);
    const maps = op.map(this.nodes[inputs[0]].shape, node.attributes);
    if (!maps) return this.wideValue(inputs[0], { linear: this.linear(index, quads(node.shape)) });
    return this.#wideMapped(position, maps, index);
  }

  /** Through a view: still neighbours where the innermost axis is kept, all the same element where it is broadcast. */
  #wideMapped(position: number, maps: readonly AxisMap[], index: Index): string {
    const node = this.nodes[position];
    const [input] = node.inputs;
    const source = this.nodes[input].shape;
    const innermost = node.shape.length - 1;
    const last = maps.at(-1);
    const guarded = node.op.kind === "view" && node.op.guarded;
    if (guarded || node.shape[innermost] % 4 !== 0) return this.#oneByOne(position, index);
    const users = maps.filter(({ axis }) => axis === innermost);
    const outer = this.coordinates(index, quads(node.shape));
    const at = (axisMaps: readonly AxisMap[]) => ({
      coordinates: mapCoordinates(axisMaps, outer).map((text) => this.define(text)),
    });
    if (users.length === 0) return this.#splat(this.value(input, at(maps)), node);
    const kept = users.length === 1 && last?.axis === innermost && last.step === 1 && last.start % 4 === 0 &&
      source[source.length - 1] % 4 === 0;
    if (!kept) return this.#oneByOne(position, index);
    return this.wideValue(input, at(maps.map((map, axis) => axis === maps.length - 1 ? { ...map, start: map.start / 4 } : map)));
  }

  #splat(value: string, { dtype }: FlatNode): string {
    return this.define(`${wgslType(dtype, true)}(${value})`);
  }

  #oneByOne(position: number, index: Index): string {
    const { shape, dtype } = this.nodes[position];
    const first = `${this.linear(index, quads(shape))} * 4u`;
    const element = (lane: number) => this.value(position, { linear: this.define(lane === 0 ? first : `${first} + ${lane}u`) });
    return this.define(fourOf(element, wgslType(dtype, true)));
  }

  #mapped(node: FlatNode, maps: readonly AxisMap[], index: Index): string {
    const [input] = node.inputs;
    const { shape } = this.nodes[input];
    const outer = this.coordinates(index, node.shape);
    const value = this.value(input, { coordinates: mapCoordinates(maps, outer).map((text) => this.define(text)) });
    const inside = node.op.kind === "view" && node.op.guarded
      ? insideConditions(maps, outer, { input: shape, output: node.shape })
      : [];
    return inside.length === 0 ? value : this.define(`select(${zero(node.dtype)}, ${value}, ${inside.join(" && ")})`);
  }

  /** Four neighbours of a row are neighbours in the table. */
  #wideGathered(position: number, index: Index): string {
    const node = this.nodes[position];
    const [table, indices] = node.inputs;
    const rank = this.nodes[indices].shape.length;
    const { shape } = this.nodes[table];
    if (shape.length < 2 || shape[shape.length - 1] % 4 !== 0) return this.#oneByOne(position, index);
    const coordinates = this.coordinates(index, quads(node.shape));
    const row = this.#row(indices, { coordinates: coordinates.slice(0, rank) });
    const value = this.wideValue(table, { coordinates: [row, ...coordinates.slice(rank)] });
    return this.define(`select(${wgslType(node.dtype, true)}(${zero(node.dtype)}), ${value}, ${row} < ${shape[0]}u)`);
  }

  /** Variable that holds the row that an index tells. */
  #row(indices: number, index: Index): string {
    const row = this.value(indices, index);
    return this.nodes[indices].dtype === "int32" ? this.define(`bitcast<u32>(${row})`) : row;
  }

  #gathered(node: FlatNode, index: Index): string {
    const [table, indices] = node.inputs;
    const rank = this.nodes[indices].shape.length;
    const { shape } = this.nodes[table];
    const inner = node.shape.slice(rank);
    let row: string, rest: readonly string[];
    if (index.linear !== undefined) {
      const width = sizeOf(inner);
      row = this.#row(indices, { linear: width === 1 ? index.linear : this.define(`${index.linear} / ${width}u`) });
      rest = width === 1
        ? inner.map(() => "0u")
        : this.coordinates({ linear: this.define(`${index.linear} % ${width}u`) }, inner);
    } else {
      row = this.#row(indices, { coordinates: index.coordinates!.slice(0, rank) });
      rest = index.coordinates!.slice(rank);
    }
    const value = this.value(table, { coordinates: [row, ...rest] });
    return this.define(`select(${zero(node.dtype)}, ${value}, ${row} < ${shape[0]}u)`);
  }
}
