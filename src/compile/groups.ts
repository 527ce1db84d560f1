/**
 * Groups of nodes that one kernel computes, and what they read.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { contiguous, isContiguous, type Window, windowOf } from "./strided.ts";

/** A matrix product within a kernel. */
export interface Product {
  /** The `matmul` node, or a fused operation whose kernels go on with what they compute. */
  readonly node: number;
  /** What is stored of it: itself, or results that it is part of element by element. */
  readonly roots: readonly number[];
}

/** Rows that are reduced, and read again. */
export interface RowShape {
  /** How many. */
  readonly count: number;
  /** Elements of each, at least 2. */
  readonly width: number;
}

/** One kernel to be. */
export interface Group {
  /** Nodes that it stores, all of one size (but for rows); a later one may use an earlier one. */
  readonly roots: readonly number[];
  /** The reduction whose loop comes first, for a group that reduces. */
  readonly reduction?: number;
  /** The matrix products that come first, for a group that multiplies matrices; each root belongs to one. */
  readonly products?: readonly Product[];
  /** For a group that works on rows: roots have an element for each row, or for each element of the rows. */
  readonly rows?: RowShape;
}

/** What the fuser decided. */
export interface Fusion {
  readonly graph: Graph;
  /** Whether a node has memory. Leaves always have. */
  readonly stored: readonly boolean[];
  /** In an order in which they can run. */
  readonly groups: readonly Group[];
}

/** Whether a group computes its elements one by one, and nothing before them. */
export const isMap = ({ graph: { nodes } }: Fusion, { roots, reduction, products, rows }: Group): boolean =>
  reduction === undefined && !products && !rows && !["kernel", "fused", "reduction"].includes(nodes[roots[0]].op.kind);

/** How kernel inputs are read: through a view of a stored node where the kernel can, else stored as they are. */
export function kernelInput(nodes: readonly FlatNode[], node: FlatNode, position: number): Window {
  const input = node.inputs[position];
  const window = windowOf(nodes, input);
  const { op } = node;
  const accepts = (op.kind === "kernel" || op.kind === "fused") && op.binding.accepts?.(window.view, position);
  if (accepts || isContiguous(window.view) && sizeOf(window.view.shape) === sizeOf(nodes[window.base].shape)) return window;
  return { base: input, view: contiguous(nodes[input].shape), waits: [] };
}

/**
 * Stored nodes that an expression reads, and whether each is read only at the element being computed; `known` are read though they are
 * not stored.
 */
export function readsOf(
  { nodes }: Graph,
  stored: readonly boolean[],
  root: number,
  known: readonly number[] = [],
): Map<number, boolean> {
  const reads = new Map<number, boolean>();
  const seen = new Set<number>();
  const visit = (position: number, aligned: boolean) => {
    const key = 2 * position + (aligned ? 1 : 0);
    if (seen.has(key)) return;
    seen.add(key);
    if (position !== root && nodes[position].shape.includes(0)) return; // has no element to read
    if ((stored[position] || known.includes(position)) && position !== root) {
      reads.set(position, (reads.get(position) ?? true) && aligned);
      return;
    }
    const node = nodes[position];
    if (node.op.kind === "kernel" || node.op.kind === "fused") {
      for (const index of node.inputs.keys()) {
        const { base, waits } = kernelInput(nodes, node, index);
        visitStored(base);
        waits.forEach((wait) => visit(wait, false));
      }
      return;
    }
    const keeps = node.op.kind === "elementwise" ||
      node.op.kind === "view" && (node.op.name === "reshape" || node.op.name === "stopGradient");
    for (const input of node.inputs) visit(input, aligned && keeps);
  };
  const visitStored = (position: number) => reads.set(position, false);
  visit(root, true);
  return reads;
}
