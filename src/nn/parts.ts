/**
 * Kernels of several results.
 *
 * @module
 */

import type { Attributes, FusedParts, KernelBinding } from "../core/graph.ts";
import { applyFused, type Tensor } from "../tensor.ts";

const noKernel: KernelBinding = { kernels: [], call: () => undefined };

/** One tensor of the elements of several, one after another. */
function packed(tensors: readonly Tensor[]): Tensor {
  const total = tensors.reduce((sum, { size }) => sum + size, 0);
  let start = 0;
  return tensors.map((x) => x.reshape([x.size]).pad([start], [total - (start += x.size)])).reduce((sum, part) => sum.add(part));
}

/** Adds a fused operation of several results. Each stands for its own composition where the kernel does not apply. */
export function applyParts(op: FusedParts, inputs: readonly Tensor[], attributes: Attributes = {}): Tensor[] {
  const { name, binding, vjps } = op;
  const results = op.compose(inputs, attributes);
  const all = applyFused({ kind: "fused", name, binding, compose: () => packed(results) }, inputs, attributes);
  let start = 0;
  return results.map((result, index) => {
    const window = all.slice([start], [start += result.size]).reshape(result.shape);
    const vjp = vjps?.[index];
    return applyFused(
      {
        kind: "fused",
        name: `${name}[${index}]`,
        binding: noKernel,
        isPart: true,
        compose: () => result,
        vjp: vjp && ((gradient, call) => [undefined, ...vjp(gradient, { ...call, inputs: call.inputs.slice(1) })]),
      },
      [window, ...inputs],
      attributes,
    );
  });
}
