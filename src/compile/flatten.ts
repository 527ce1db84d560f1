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

/** Inputs of a node, and what a fused one stands for, or the simpler node that runs instead; computed nodes need nothing. */
function dependency(node: Node, index: number): Node | undefined {
  if (node.value) return undefined;
  if (node.simpler) return index === 0 ? node.simpler : undefined;
  if (index < node.inputs.length) return node.inputs[index];
  return index === node.inputs.length && node.op.kind === "fused" ? node.composition : undefined;
}

/** Visits what the outputs need, inputs before users, but for what `isKnown` tells of; computed nodes end the walk. */
function walk(outputs: readonly Node[], isKnown: (node: Node) => boolean, visit: (node: Node) => void): void {
  const path: Node[] = [];
  const next: number[] = []; // dependency to look at, of each node on the path
  for (const output of outputs) {
    if (isKnown(output)) continue;
    path.push(output);
    next.push(0);
    while (path.length > 0) {
      const last = path.length - 1;
      const found = dependency(path[last], next[last]++);
      if (!found) {
        visit(path.pop()!);
        next.pop();
      } else if (!isKnown(found)) {
        path.push(found);
        next.push(0);
      }
    }
  }
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
  const distinct: { readonly node: Node; readonly leaf?: number }[] = [];
  const leaves: Node[] = [];
  const positionOf = new Map<Node, number>();
  const positionOfText = new Map<string, number>();
  let key = "";
  const addLeaf = (node: Node) => {
    positionOf.set(node, distinct.length);
    distinct.push({ node, leaf: leaves.length });
    leaves.push(node);
    key += `${node.dtype}[${node.shape}];`;
  };
  arguments_.forEach(addLeaf);
  const addNode = (node: Node) => {
    if (node.value || node.op.kind === "leaf") return addLeaf(node);
    if (node.simpler) return void positionOf.set(node, positionOf.get(node.simpler)!);
    let text = node.text;
    for (const input of node.inputs) text += `,${positionOf.get(input)}`;
    if (node.op.kind === "fused") text += `=${positionOf.get(node.composition)}`;
    let position = positionOfText.get(text);
    if (position === undefined) {
      position = distinct.length;
      distinct.push({ node });
      positionOfText.set(text, position);
      key += `${text};`;
    }
    positionOf.set(node, position);
  };
  walk(outputs, (node) => positionOf.has(node), addNode);
  const wanted = outputs.map((output) => positionOf.get(output)!);
  key += `>${wanted}|${[...donated]}`;
  return {
    key,
    leaves,
    get graph() { // known structures need none
      const nodes = distinct.map(({ node, leaf }) => flatNode(node, leaf, positionOf));
      return { nodes, leaves: leaves.map((node) => positionOf.get(node)!), outputs: wanted, donated };
    },
  };
}

function flatNode(node: Node, place: number | undefined, positionOf: ReadonlyMap<Node, number>): FlatNode {
  const { op, attributes, shape, dtype } = node;
  if (place !== undefined) return { op: leaf, attributes: {}, inputs: [], shape, dtype, leaf: place };
  const inputs = node.inputs.map((input) => positionOf.get(input)!);
  const composition = op.kind === "fused" ? { composition: positionOf.get(node.composition)! } : {};
  return { op, attributes, inputs, shape, dtype, ...composition };
}
