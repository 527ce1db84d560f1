/**
 * WGSL expressions of nodes that are computed in place: views become index arithmetic, equal expressions are written once.
 *
 * @module
 */

import type { AxisMap } from "../core/graph.ts";
import type { FlatNode } from "../core/program.ts";
import { type Shape, sizeOf, stridesOf } from "../core/shape.ts";
import { zero } from "../core/wgsl.ts";

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

/** Identifies a place in a row-major array; axes of length 1 do not matter. */
function signature(shape: Shape, coordinates: readonly string[]): string {
  return `${shape.filter((length) => length !== 1)}|${coordinates.filter((_, axis) => shape[axis] !== 1)}`;
}

/** Writes expressions as a list of `let` statements; one instance for each scope. */
export class ExpressionWriter {
  readonly lines: string[] = [];
  readonly #names = new Map<string, string>();
  readonly #positions = new Map<string, string>();
  readonly #values = new Map<string, string>();

  /**
   * @param nodes the graph
   * @param load expression that reads a stored node at a row-major position, or `undefined` if the node is to be computed here
   * @param prefix begins the names of this scope's variables
   */
  constructor(
    private readonly nodes: readonly FlatNode[],
    private readonly load: (node: number, linear: () => string) => string | undefined,
    private readonly prefix: string,
  ) {}

  /** Name of a variable that holds the expression. */
  define(text: string): string {
    if (/^[\w.]+$/.test(text)) return text;
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
    const { shape } = this.nodes[position];
    const linear = at.linear ?? this.#positions.get(signature(shape, at.coordinates!));
    const index = { linear, coordinates: at.coordinates };
    const key = `${position}@${linear ?? at.coordinates}`;
    let name = this.#values.get(key);
    if (name === undefined) {
      const loaded = this.load(position, () => this.linear(index, shape));
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
          op.wgsl(operands, { inputs: node.inputs.map((input) => this.nodes[input].dtype), output: node.dtype }),
        );
      }
      case "generator":
        return this.define(
          op.wgsl(op.name === "constant" ? [] : this.coordinates(index, node.shape), node.attributes, node.dtype),
        );
      case "view": {
        const [input] = node.inputs;
        const maps = op.map(this.nodes[input].shape, node.attributes);
        if (!maps) return this.value(input, { linear: this.linear(index, node.shape) });
        if (op.name === "stopGradient") return this.value(input, index);
        return this.#mapped(node, maps, op.guarded, index);
      }
      case "gather":
        return this.#gathered(node, index);
      default:
        throw new Error(`Cannot compute ${op.name} in place: it must be stored`);
    }
  }

  #mapped(node: FlatNode, maps: readonly AxisMap[], guarded: boolean, index: Index): string {
    const [input] = node.inputs;
    const { shape } = this.nodes[input];
    const outer = this.coordinates(index, node.shape);
    const inside: string[] = [];
    const coordinates = maps.map(({ axis, start, step }, inputAxis) => {
      if (axis < 0) return `${start}u`;
      if (step === -1) return `(${start}u - ${outer[axis]})`;
      if (start >= 0) return add(outer[axis], `${start}u`);
      if (guarded) inside.push(`${outer[axis]} >= ${-start}u && ${outer[axis]} < ${shape[inputAxis] - start}u`);
      return `(${outer[axis]} - ${-start}u)`;
    });
    if (guarded) {
      maps.forEach(({ axis, start }, inputAxis) => {
        if (start === 0 && node.shape[axis] !== shape[inputAxis]) inside.push(`${outer[axis]} < ${shape[inputAxis]}u`);
      });
    }
    const value = this.value(input, { coordinates: coordinates.map((text) => this.define(text)) });
    return inside.length === 0 ? value : this.define(`select(${zero(node.dtype)}, ${value}, ${inside.join(" && ")})`);
  }

  #gathered(node: FlatNode, index: Index): string {
    const [table, indices] = node.inputs;
    const rank = this.nodes[indices].shape.length;
    const { shape } = this.nodes[table];
    const inner = node.shape.slice(rank);
    let row: string, rest: readonly string[];
    if (index.linear !== undefined) {
      const width = sizeOf(inner);
      row = this.value(indices, { linear: width === 1 ? index.linear : this.define(`${index.linear} / ${width}u`) });
      rest = width === 1
        ? inner.map(() => "0u")
        : this.coordinates({ linear: this.define(`${index.linear} % ${width}u`) }, inner);
    } else {
      row = this.value(indices, { coordinates: index.coordinates!.slice(0, rank) });
      rest = index.coordinates!.slice(rank);
    }
    if (this.nodes[indices].dtype === "int32") row = this.define(`bitcast<u32>(${row})`);
    const value = this.value(table, { coordinates: [row, ...rest] });
    return this.define(`select(${zero(node.dtype)}, ${value}, ${row} < ${shape[0]}u)`);
  }
}
