/**
 * Parameters that a quantizer learns together with its weight: one number for each group.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { sizeOf } from "../core/shape.ts";
import type { Tensor } from "../tensor.ts";
import { straightThrough } from "./estimators.ts";
import { type GroupView, minimumScale } from "./groups.ts";

/** Parameters of one weight's quantizer, by their names. */
export type LearnedParameters = Readonly<Record<string, Tensor>>;

/** Shape of a reduction over the groups that keeps their axes. */
function reducedShape({ values, axes }: GroupView): number[] {
  return values.shape.map((length, axis) => axes.includes(axis) ? 1 : length);
}

/** Number of weights in one group. */
export function weightsPerGroup({ values, axes }: GroupView): number {
  return sizeOf(axes.map((axis) => values.shape[axis]));
}

/** A parameter as it is stored, `[groups]` in row-major order, from one value for each group. */
export function flatParameter(value: Tensor): Tensor {
  return value.reshape([value.size]);
}

/**
 * A stored parameter, shaped to broadcast over the groups.
 *
 * @throws TypeError when it is not one float32 number for each group
 */
export function perGroup(view: GroupView, name: string, stored: Tensor): Tensor {
  const shape = reducedShape(view);
  if (stored.dtype === "float32" && stored.shape.length === 1 && stored.size === sizeOf(shape)) return stored.reshape(shape);
  throw atCaller(
    new TypeError(
      `Cannot quantize ${view.values} with the ${name} ${stored}: wanted float32[${sizeOf(shape)}], one for each group`,
    ),
  );
}

/** A learned scale, at least `minimumScale`; the derivative is the identity there too, so that a scale that went below finds back. */
export function positiveScale(scale: Tensor): Tensor {
  return straightThrough(scale.maximum(minimumScale), scale);
}
