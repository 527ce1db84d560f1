/**
 * Operations of stored kernels as other operations: on tensors that are too large for them, which is slower, but generated kernels can
 * cut their buffers; and in pieces, where a device would be idle else.
 *
 * @module
 */

import { type KernelPrimitive, leaf, Node } from "../core/graph.ts";
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

/** What takes the place of a kernel primitive, made of its inputs, or `undefined` where it stays. */
type Replacement = (node: FlatNode, op: KernelPrimitive) => ((inputs: readonly Node[]) => Node) | undefined;

function replaceKernels(graph: Graph, replacement: Replacement): Graph {
  const replacements = graph.nodes.map((node) => node.op.kind === "kernel" ? replacement(node, node.op) : undefined);
  if (!replacements.some((each) => each)) return graph;
  const nodes: FlatNode[] = [];
  const positions: number[] = [];
  graph.nodes.forEach((node, position) => {
    const inputs = node.inputs.map((input) => positions[input]);
    const compose = replacements[position];
    positions.push(compose ? append(nodes, inputs, compose) : nodes.push({ ...node, inputs }) - 1);
  });
  const moved = (list: readonly number[]) => list.map((position) => positions[position]);
  return { nodes, leaves: moved(graph.leaves), outputs: moved(graph.outputs), donated: graph.donated };
}

/** Replaces kernel primitives that read or write tensors of which `fits` says no. */
export function composeLarge(graph: Graph, fits: (node: FlatNode) => boolean): Graph {
  const { nodes } = graph;
  return replaceKernels(graph, (node, op) => {
    const isSmall = [node, ...node.inputs.map((input) => nodes[input])].every(fits);
    return isSmall ? undefined : (inputs) => op.compose(inputs, node.attributes);
  });
}

/** Cuts long sums into pieces that do not wait for one another, where a device would be idle else. */
export function cutSums(graph: Graph, target: KernelTarget): Graph {
  const { nodes } = graph;
  return replaceKernels(graph, (node, { binding, inPieces }) => {
    const inputs = node.inputs.map((_, position) => kernelInput(nodes, node, position).view);
    const pieces = binding.pieces?.(inputs, target) ?? 1;
    return inPieces && pieces > 1 ? (operands) => inPieces(operands, pieces) : undefined;
  });
}
