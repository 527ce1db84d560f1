/**
 * First stage: from nodes that people built to a list without repetition, and the text that identifies its structure.
 *
 * @module
 */

import { leaf, type Node } from "../core/graph.ts";
import type { FlatNode, Graph } from "../core/program.ts";

/** A flattened graph, the leaves to bind at its inputs, and a key that is equal for graphs of equal structure. */
export interface Flattened {
  readonly graph: Graph;
  readonly leaves: Node[];
  readonly key: string;
}

function dependencies(node: Node): readonly Node[] {
  if (node.value) return [];
  return node.op.kind === "fused" ? [...node.inputs, node.composition] : node.inputs;
}

/** Nodes that the outputs need, inputs before users; computed nodes end the walk. */
function topological(outputs: readonly Node[]): Node[] {
  const seen = new Set<Node>();
  const ordered: Node[] = [];
  const stack: { node: Node; inputs: readonly Node[]; next: number }[] = [];
  const enter = (node: Node) => {
    if (seen.has(node)) return;
    seen.add(node);
    stack.push({ node, inputs: dependencies(node), next: 0 });
  };
  for (const output of outputs) {
    enter(output);
    while (stack.length > 0) {
      const frame = stack[stack.length - 1];
      if (frame.next < frame.inputs.length) enter(frame.inputs[frame.next++]);
      else ordered.push(stack.pop()!.node);
    }
  }
  return ordered;
}

/**
 * Lists a graph. Structurally equal nodes become one node here rather than when they are built: a table of all living nodes would
 * have to be weak, and would cost more than it saves.
 *
 * @param outputs nodes that are wanted
 * @param arguments_ leaves that come first among the inputs, in this order, used or not
 * @param donated positions among `arguments_` whose memory may be overwritten
 */
export function flattenGraph(outputs: readonly Node[], arguments_: readonly Node[], donated: ReadonlySet<number>): Flattened {
  const nodes: FlatNode[] = [];
  const leaves: Node[] = [];
  const leafPositions: number[] = [];
  const positionOf = new Map<Node, number>();
  const positionOfText = new Map<string, number>();
  const addLeaf = (node: Node) => {
    positionOf.set(node, nodes.length);
    leafPositions.push(nodes.length);
    nodes.push({ op: leaf, attributes: {}, inputs: [], shape: node.shape, dtype: node.dtype, leaf: leaves.length });
    leaves.push(node);
    positionOfText.set(`${leaves.length}:${node.dtype}[${node.shape}]`, -1);
  };
  arguments_.forEach(addLeaf);
  for (const node of topological(outputs)) {
    if (positionOf.has(node)) continue;
    if (node.value || node.op.kind === "leaf") {
      addLeaf(node);
      continue;
    }
    const inputs = node.inputs.map((input) => positionOf.get(input)!);
    const composition = node.op.kind === "fused" ? { composition: positionOf.get(node.composition)! } : {};
    const text = `${node.text}(${inputs})${composition.composition ?? ""}`;
    let position = positionOfText.get(text);
    if (position === undefined) {
      position = nodes.length;
      nodes.push({ op: node.op, attributes: node.attributes, inputs, shape: node.shape, dtype: node.dtype, ...composition });
      positionOfText.set(text, position);
    }
    positionOf.set(node, position);
  }
  const wanted = outputs.map((output) => positionOf.get(output)!);
  const key = `${[...positionOfText.keys()].join(";")}>${wanted}|${[...donated]}`;
  return { graph: { nodes, leaves: leafPositions, outputs: wanted, donated }, leaves, key };
}
