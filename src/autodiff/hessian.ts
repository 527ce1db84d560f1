/**
 * Products with the Hessian and with the Jacobian, without either matrix.
 *
 * @module
 */

import { isFloat } from "../core/dtype.ts";
import { atCaller } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { constant, requireFloat, type Tensor } from "../tensor.ts";
import { gradients, vectorJacobianProduct } from "./gradients.ts";

function checkDirections(action: string, xs: readonly Tensor[], vs: readonly Tensor[]): void {
  if (xs.length !== vs.length) {
    throw atCaller(new RangeError(`Cannot ${action}: wanted one direction for each of ${xs.length} tensors, got ${vs.length}`));
  }
  xs.forEach((x, index) => {
    if (sameShape(x.shape, vs[index].shape) && isFloat(vs[index].dtype)) return;
    throw atCaller(new TypeError(`Cannot ${action}: direction ${index} is ${vs[index]}, wanted floats in the shape of ${x}`));
  });
}

/** Sum of the products of all elements; at least one pair. */
const inner = (as: readonly Tensor[], bs: readonly Tensor[]): Tensor =>
  as.map((a, index) => a.mul(bs[index]).sum()).reduce((total, part) => total.add(part));

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
  checkDirections("multiply by the Hessian", xs, vs);
  const slopes = gradients(loss, xs);
  return xs.length === 0 ? [] : gradients(inner(slopes, vs.map((v) => v.stopGradient())), xs);
}

/**
 * Product of the Jacobian of `y` with a direction: how `y` changes when `xs` move along `vs`. Forward mode by differentiating twice
 * backwards: the vector-Jacobian product is linear in its vector, and its derivative with respect to that vector is the answer.
 *
 * @param y float32, any shape
 * @param xs the tensors that move
 * @param vs how they move, one tensor of the shape of each of `xs`
 * @returns float32 of the shape of `y`; zeros where `y` does not depend on `xs`
 * @throws RangeError when there is not one direction for each tensor, TypeError when one does not have the shape of its tensor
 *
 * @example
 * ```ts
 * import { jacobianVectorProduct, tensor } from "@hestia/hestia";
 * const x = tensor([1, 2]);
 * console.log(await jacobianVectorProduct(x.square(), [x], [tensor([1, 10])]).data()); // 2, 40
 * ```
 */
export function jacobianVectorProduct(y: Tensor, xs: readonly Tensor[], vs: readonly Tensor[]): Tensor {
  checkDirections("multiply by the Jacobian", xs, vs);
  requireFloat(y, "differentiate");
  if (xs.length === 0) return constant(0, y.shape);
  const vector = constant(0, y.shape); // its value does not matter
  return vectorJacobianProduct(inner(vectorJacobianProduct(y, xs, vector), vs), [vector], constant(1))[0];
}
