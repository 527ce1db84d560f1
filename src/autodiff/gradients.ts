/**
 * Reverse-mode differentiation as graph rewriting: derivatives are tensors like any other, so they differentiate again.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Node } from "../core/graph.ts";
import { applyFused, constant, requireFloat, Tensor } from "../tensor.ts";

/** The node whose rule applies: a fused operation without a rule of its own stands for its composition. */
function differentiable(node: Node): Node {
  return node.op.kind === "fused" && !node.op.vjp ? node.composition : node;
}

/** What a node's derivative flows to: its inputs, or its composition. */
function sources(node: Node): readonly Node[] {
  return differentiable(node) === node ? node.inputs : [node.composition];
}

/** Nodes on some path from `targets` to `root`, inputs before users. */
function dependents(root: Node, targets: ReadonlySet<Node>): Node[] {
  const oldest = targets.values().reduce((serial, target) => Math.min(serial, target.serial), Infinity);
  const depends = new Map<Node, boolean>();
  const ordered: Node[] = [];
  const stack: { node: Node; next: number }[] = [{ node: root, next: 0 }];
  depends.set(root, targets.has(root));
  while (stack.length > 0) {
    const frame = stack[stack.length - 1];
    const inputs = sources(frame.node);
    if (frame.next < inputs.length) {
      const input = inputs[frame.next++];
      if (!depends.has(input) && input.serial >= oldest) { // what was made before all targets depends on none
        depends.set(input, targets.has(input));
        stack.push({ node: input, next: 0 });
      }
      continue;
    }
    stack.pop();
    if (inputs.some((input) => depends.get(input))) depends.set(frame.node, true);
    if (depends.get(frame.node)) ordered.push(frame.node);
  }
  return ordered;
}

/** Gradients of the sum of `y * seed` for each of `xs`; zeros where `y` does not depend on one. */
export function vectorJacobianProduct(y: Tensor, xs: readonly Tensor[], seed: Tensor): Tensor[] {
  const targets = new Set(xs.map((x) => x.node));
  const ordered = dependents(y.node, targets);
  const gradientOf = new Map<Node, Tensor>([[y.node, seed]]);
  const accumulate = (node: Node, gradient: Tensor | undefined): void => {
    if (!gradient) return;
    const known = gradientOf.get(node);
    gradientOf.set(node, known ? known.add(gradient) : gradient);
  };
  const wanted = new Set(ordered);
  for (const node of ordered.reverse()) {
    const gradient = gradientOf.get(node);
    if (!gradient || node.op.kind === "leaf") continue;
    if (differentiable(node) !== node) {
      accumulate(node.composition, gradient);
      continue;
    }
    if (!node.inputs.some((input) => wanted.has(input))) continue;
    const inputs = node.inputs.map((input) => new Tensor(input));
    const call = { inputs, output: new Tensor(node), attributes: node.attributes, fuse: applyFused };
    node.op.vjp!(gradient, call).forEach((part, position) => {
      if (wanted.has(node.inputs[position])) accumulate(node.inputs[position], part);
    });
  }
  return xs.map((x) => gradientOf.get(x.node) ?? constant(0, x.shape));
}

/**
 * Gradient of a scalar with respect to each tensor, as new graph: it can be computed, or differentiated again.
 *
 * A tensor that `loss` does not depend on gets zeros, and so does one of integers.
 *
 * @param loss scalar, float32 (a mean or a sum)
 * @param xs tensors of any shape
 * @returns one tensor for each of `xs`, of its shape, float32
 * @throws RangeError when `loss` has more than one element, TypeError when it is of integers
 *
 * @example
 * ```ts
 * import { gradients, tensor } from "@hestia/hestia";
 * const x = tensor([1, 2, 3]);
 * const [g] = gradients(x.square().sum(), [x]);
 * console.log(await g.data()); // 2, 4, 6
 * ```
 */
export function gradients(loss: Tensor, xs: readonly Tensor[]): Tensor[] {
  if (loss.size !== 1) {
    throw atCaller(new RangeError(`Cannot differentiate ${loss}: wanted a scalar, reduce it by mean() or sum()`));
  }
  requireFloat(loss, "differentiate");
  return vectorJacobianProduct(loss, xs, constant(1, loss.shape));
}
