/**
 * Activations.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";

/**
 * `gate * sigmoid(gate) * up` (Shazeer, "GLU Variants Improve Transformer", 2020), element by element.
 *
 * @example
 * ```ts
 * import { swiglu, tensor } from "@hestia/hestia";
 * console.log(await swiglu(tensor([0, 100]), tensor([3, 2])).data()); // 0, 200
 * ```
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return gate.mul(gate.sigmoid()).mul(up);
}
