/**
 * Which expressions one kernel can compute that works on rows: it reduces each row, perhaps several times, and goes over it again.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import type { RowShape } from "./groups.ts";

/** Where an expression is looked at: at the element of a row, at the row, or elsewhere. */
export type Place = "element" | "row" | "other";

/** The rows that a reduction along the last axes has, or `undefined` for another one. */
export function reducedRows(nodes: readonly FlatNode[], { op, inputs: [input], attributes }: FlatNode): RowShape | undefined {
  if (op.kind !== "reduction") return undefined;
  const { shape } = nodes[input];
  const axes = attributes.axes as readonly number[];
  const first = shape.findIndex((length, axis) => length !== 1 && axes.includes(axis));
  if (first < 0 || shape.some((length, axis) => axis > first && length !== 1 && !axes.includes(axis))) return undefined;
  return { count: sizeOf(shape.slice(0, first)), width: sizeOf(shape.slice(first)) };
}

/** Whether each row of `output` repeats one element of `input`. */
function repeatsRows(input: Shape, output: Shape, { count }: RowShape): boolean {
  if (sizeOf(input) !== count) return false;
  const last = input.findLastIndex((length) => length !== 1);
  return input.every((length, axis) => axis > last || length === output[axis]);
}

/** Walks over the expressions of a group. */
export class RowWalk {
  /** Reductions within the group, and after how many passes over a row each is known. */
  readonly reductions = new Map<number, number>();
  /** Nodes that elements read at their row alone, and after how many passes each is known. */
  readonly perRow = new Map<number, number>();
  /** Stored nodes that are read. */
  readonly reads = new Set<number>();
  /** Whether each expression of the group is needed where it is computed, and nowhere else. */
  isLegal = true;
  readonly #levels: Readonly<Record<Place, Map<number, number>>> = { element: new Map(), row: new Map(), other: new Map() };
  readonly #elsewhere = new Set<number>();

  /**
   * @param stored whether a node has memory
   * @param group nodes that the kernel itself stores
   */
  constructor(
    private readonly graph: Graph,
    private readonly stored: readonly boolean[],
    private readonly group: ReadonlySet<number>,
    private readonly rows: RowShape,
  ) {}

  /** Passes over a row before a root is known. */
  root(position: number): number {
    const size = sizeOf(this.graph.nodes[position].shape);
    return this.#visit(position, size === this.rows.count ? "row" : "element");
  }

  /** What is known at a row once, and read by its elements: nodes that nothing reads in another way. */
  known(): [number, number][] {
    return [...this.perRow].filter(([node]) => !this.#elsewhere.has(node));
  }

  #visit(position: number, place: Place): number {
    const { nodes } = this.graph;
    if (nodes[position].shape.includes(0)) return 0; // has no element to read
    if (place !== "row") this.#elsewhere.add(position);
    if (this.stored[position] && !this.group.has(position)) {
      this.reads.add(position);
      return 0;
    }
    const levels = this.#levels[place];
    const known = levels.get(position);
    if (known !== undefined) return known;
    if (place === "other" && (this.group.has(position) || nodes[position].op.kind === "reduction")) this.isLegal = false;
    levels.set(position, 0); // for illegal walks, which go on
    const level = this.#level(nodes[position], position, place);
    levels.set(position, level);
    return level;
  }

  #level(node: FlatNode, position: number, place: Place): number {
    const { nodes } = this.graph;
    if (node.op.kind === "reduction") {
      const rows = reducedRows(nodes, node);
      if (place !== "row" || rows?.count !== this.rows.count || rows.width !== this.rows.width) {
        this.isLegal = false;
        return 0;
      }
      const level = this.#visit(node.inputs[0], "element") + 1;
      this.reductions.set(position, level);
      return level;
    }
    return node.inputs.reduce((deepest, input) => Math.max(deepest, this.#visitInput(node, input, place)), 0);
  }

  #visitInput(node: FlatNode, input: number, place: Place): number {
    const { nodes } = this.graph;
    const { op } = node;
    if (op.kind === "elementwise" || op.kind === "view" && ["reshape", "stopGradient"].includes(op.name)) {
      return this.#visit(input, place);
    }
    if (op.name !== "expand") return this.#visit(input, "other");
    if (sizeOf(node.shape) === sizeOf(nodes[input].shape)) return this.#visit(input, place);
    if (place !== "element" || !repeatsRows(nodes[input].shape, node.shape, this.rows)) return this.#visit(input, "other");
    const level = this.#visit(input, "row");
    this.perRow.set(input, level);
    return level;
  }
}
