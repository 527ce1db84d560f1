/**
 * Long sums in pieces, where a device would be idle else.
 *
 * @module
 */

import { leaf, Node } from "../core/graph.ts";
import type { FlatNode, Graph } from "../core/program.ts";
import type { KernelTarget } from "../kernels/kernel.ts";
import { flattenGraph } from "./flatten.ts";
import { kernelInput } from "./groups.ts";

/** Appends what `compose` makes of nodes, and returns its position. */
function append(nodes: FlatNode[], inputs: readonly number[], compose: (inputs: readonly Node[]) => Node): number {
  const leaves = inputs.map((input) => new Node(leaf, [], nodes[input].shape, nodes[input].dtype));
  const { graph } = flattenGraph([compose(leaves)], leaves, new Set());
  const positions: number[] = [];
  for (const part of graph.nodes) {
    const position = part.leaf === undefined
      ? nodes.push({ ...part, inputs: part.inputs.map((input) => positions[input]) }) - 1
      : inputs[part.leaf];
    positions.push(position);
  }
  return positions[graph.outputs[0]];
}

/** What takes the place of a node, made of its inputs, or `undefined` where it stays. */
function inPieces({ nodes }: Graph, node: FlatNode, target: KernelTarget): ((inputs: readonly Node[]) => Node) | undefined {
  if (node.op.kind !== "kernel") return undefined;
  const { binding, inPieces } = node.op;
  const views = node.inputs.map((_, position) => kernelInput(nodes, node, position).view);
  const pieces = binding.pieces?.(views, target) ?? 1;
  return inPieces && pieces > 1 ? (operands) => inPieces(operands, pieces) : undefined;
}

/** Cuts long sums into pieces that do not wait for one another, where a device would be idle else. */
export function cutSums(graph: Graph, target: KernelTarget): Graph {
  const composed = graph.nodes.map((node) => inPieces(graph, node, target));
  if (!composed.some((each) => each)) return graph;
  const nodes: FlatNode[] = [];
  const positions: number[] = [];
  graph.nodes.forEach((node, position) => {
    const inputs = node.inputs.map((input) => positions[input]);
    const compose = composed[position];
    positions.push(compose ? append(nodes, inputs, compose) : nodes.push({ ...node, inputs }) - 1);
  });
  const moved = (list: readonly number[]) => list.map((position) => positions[position]);
  return { nodes, leaves: moved(graph.leaves), outputs: moved(graph.outputs), donated: graph.donated };
}
