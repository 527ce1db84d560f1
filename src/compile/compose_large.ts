/**
 * Operations of stored kernels on tensors that are too large for them, as other operations: slower, but generated kernels can cut
 * their buffers.
 *
 * @module
 */

import { type KernelPrimitive, leaf, Node } from "../core/graph.ts";
import type { FlatNode, Graph } from "../core/program.ts";
import { flattenGraph } from "./flatten.ts";

/** Appends what a kernel primitive stands for, and returns its position. */
function append(nodes: FlatNode[], node: FlatNode & { op: KernelPrimitive }, inputs: readonly number[]): number {
  const leaves = inputs.map((input) => new Node(leaf, [], nodes[input].shape, nodes[input].dtype));
  const { graph } = flattenGraph([node.op.compose(leaves, node.attributes)], leaves, new Set());
  const positions: number[] = [];
  for (const part of graph.nodes) {
    const position = part.leaf === undefined
      ? nodes.push({ ...part, inputs: part.inputs.map((input) => positions[input]) }) - 1
      : inputs[part.leaf];
    positions.push(position);
  }
  return positions[graph.outputs[0]];
}

/** Replaces kernel primitives that read or write tensors of which `fits` says no. */
export function composeLarge(graph: Graph, fits: (node: FlatNode) => boolean): Graph {
  if (graph.nodes.every(fits)) return graph;
  const nodes: FlatNode[] = [];
  const positions: number[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => positions[input]);
    const { op } = node;
    const isSmall = op.kind !== "kernel" || [node, ...node.inputs.map((input) => graph.nodes[input])].every(fits);
    positions.push(isSmall ? nodes.push({ ...node, inputs }) - 1 : append(nodes, { ...node, op }, inputs));
  }
  const moved = (list: readonly number[]) => list.map((position) => positions[position]);
  return { nodes, leaves: moved(graph.leaves), outputs: moved(graph.outputs), donated: graph.donated };
}
