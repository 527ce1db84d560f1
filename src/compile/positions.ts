/**
 * How far positions in a tensor count.
 *
 * @module
 */

import { describe, type TensorType } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";

/** Most elements that one kernel goes over: as many turns as a loop may have, of as many. Positions are counted in 32 bits. */
export const mostPositions = 65_535 ** 2;

/** The error of an operation that goes over more. */
export function tooManyPositions(name: string, type: TensorType): RangeError {
  return new RangeError(
    `Cannot compute ${name} over ${describe(type)}: it has ${
      sizeOf(type.shape)
    } elements, and a kernel counts ${mostPositions} at most. ` +
      "Take it in parts",
  );
}
