/**
 * Matrix products read float16 operands as they are stored, and compute in float32.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { prune } from "./choose.ts";

/** Reads the operands of products from before a cast from float16, through views; the kernels widen what they load. */
export function readHalf(graph: Graph): Graph {
  const nodes: FlatNode[] = [];
  const positions: number[] = [];
  const push = (node: FlatNode): number => nodes.push(node) - 1;
  const before = (position: number): number | undefined => {
    const node = graph.nodes[position];
    const [input] = node.inputs;
    if (node.op.name === "cast" && graph.nodes[input].dtype === "float16") return positions[input];
    const source = node.op.kind === "view" ? before(input) : undefined;
    return source === undefined ? undefined : push({ ...node, dtype: "float16", inputs: [source] });
  };
  for (const node of graph.nodes) {
    const isProduct = node.op.name === "matmul";
    const inputs = node.inputs.map((input) => isProduct ? before(input) ?? positions[input] : positions[input]);
    positions.push(push({ ...node, inputs }));
  }
  const moved = (list: readonly number[]) => list.map((position) => positions[position]);
  return prune({ nodes, leaves: moved(graph.leaves), outputs: moved(graph.outputs), donated: graph.donated });
}
