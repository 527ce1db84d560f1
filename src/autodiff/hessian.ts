/**
 * Products with the Hessian, without the Hessian.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import type { Tensor } from "../tensor.ts";
import { gradients } from "./gradients.ts";

/**
 * Product of the Hessian of a scalar with a direction, over all tensors at once: the gradient of the directional derivative
 * (Pearlmutter, "Fast exact multiplication by the Hessian", 1994). Exact, at the price of about three gradients.
 *
 * @param loss scalar, float32
 * @param xs the tensors that the Hessian is taken over
 * @param vs the direction, one tensor of the shape of each of `xs`
 * @returns (H v) restricted to each of `xs`, cross terms between them included
 * @throws RangeError when `loss` is no scalar, TypeError when a direction does not have the shape of its tensor
 *
 * @example
 * ```ts
 * import { hessianVectorProduct, tensor } from "@hestia/hestia";
 * const x = tensor([1, 2]);
 * const [hv] = hessianVectorProduct(x.mul(x).mul(x).sum(), [x], [tensor([1, 0])]);
 * console.log(await hv.data()); // 6, 0
 * ```
 */
export function hessianVectorProduct(loss: Tensor, xs: readonly Tensor[], vs: readonly Tensor[]): Tensor[] {
  if (xs.length !== vs.length) {
    throw atCaller(
      new RangeError(`Cannot multiply by the Hessian: wanted one direction for each of ${xs.length} tensors, got ${vs.length}`),
    );
  }
  xs.forEach((x, index) => {
    if (sameShape(x.shape, vs[index].shape)) return;
    throw atCaller(new TypeError(`Cannot multiply by the Hessian: direction ${index} is ${vs[index]}, wanted the shape of ${x}`));
  });
  const slopes = gradients(loss, xs).map((gradient, index) => gradient.mul(vs[index].stopGradient()).sum());
  if (slopes.length === 0) return [];
  return gradients(slopes.reduce((total, slope) => total.add(slope)), xs);
}
