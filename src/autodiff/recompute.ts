/**
 * Activation checkpointing: time for memory.
 *
 * @module
 */

import { type KernelBinding, Node, nodesMade } from "../core/graph.ts";
import { after, applyFused, Tensor } from "../tensor.ts";
import { vectorJacobianProduct } from "./gradients.ts";

/** No kernel computes it: programs run what it stands for. */
const binding: KernelBinding = { kernels: [], call: () => undefined };

/** Nodes that lead to `root` from `start` on, inputs before users, and older ones that they use. */
function partsOf(root: Node, start: number): { inside: Node[]; boundary: Node[] } {
  const seen = new Set<Node>([root]);
  for (const node of seen) {
    if (node.serial < start) continue;
    for (const input of node.op.kind === "fused" ? [...node.inputs, node.composition] : node.inputs) seen.add(input);
    if (node.simpler) seen.add(node.simpler);
  }
  const ordered = [...seen].sort((a, b) => a.serial - b.serial);
  const isInside = (node: Node) => node.serial >= start && node.op.kind !== "leaf";
  const isGiven = (node: Node) => !isInside(node) && node.op.kind !== "generator";
  return { inside: ordered.filter(isInside), boundary: ordered.filter(isGiven) };
}

/** The last of `inside`, built again on other nodes. */
function rebuilt(inside: readonly Node[], replacements: ReadonlyMap<Node, Node>): Node {
  const known = new Map(replacements);
  const now = (node: Node) => known.get(node) ?? node;
  for (const node of inside) {
    const compose = node.op.kind === "fused" ? () => now(node.composition) : undefined;
    const simpler = node.simpler && now(node.simpler);
    known.set(node, new Node(node.op, node.inputs.map(now), node.shape, node.dtype, node.attributes, compose, simpler));
  }
  return now(inside[inside.length - 1]);
}

/**
 * The same function, whose inner results are not kept for the backward pass but computed again there (Chen et al., "Training Deep Nets
 * with Sublinear Memory Cost", 2016). Only what goes into it stays: its arguments, and tensors that it closes over.
 *
 * Values and derivatives of every order are those of `fn`; memory is saved in first derivatives.
 *
 * @param fn a function of tensors (and whatever else) to one tensor; it must be pure
 *
 * @example
 * ```ts
 * import { gradients, recompute, tensor } from "@hestia/hestia";
 * const layer = recompute((x) => x.exp().sin().exp());
 * const x = tensor([0, 1]);
 * const [g] = gradients(layer(layer(x)).sum(), [x]); // keeps x and layer(x), and nothing between them
 * console.log(await g.data());
 * ```
 */
export function recompute<A extends readonly unknown[] = readonly Tensor[]>(
  fn: (...inputs: A) => Tensor,
): (...inputs: A) => Tensor {
  return (...inputs) => {
    const start = nodesMade();
    const output = fn(...inputs);
    if (output.node.serial < start || output.node.op.kind === "leaf") return output; // nothing is computed
    const { inside, boundary } = partsOf(output.node, start);
    return applyFused({
      kind: "fused",
      name: "recompute",
      binding,
      compose: () => output,
      vjp(gradient, call) {
        const late = call.inputs.map((input) => after(input, gradient));
        const again = rebuilt(inside, new Map(boundary.map((node, index) => [node, late[index].node])));
        return vectorJacobianProduct(new Tensor(again), late, gradient);
      },
    }, boundary.map((node) => new Tensor(node)));
  };
}
