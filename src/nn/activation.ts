/**
 * Activations.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";

/** `gate * sigmoid(gate) * up` (Shazeer, "GLU Variants Improve Transformer", 2020), element by element. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return gate.mul(gate.sigmoid()).mul(up);
}
