/**
 * Kernels of Hestia's relaxation of ternary weights.
 *
 * @module
 */

import type { Attributes, KernelBinding, Strided } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";
import { rowBinding, type Rows } from "./rows.ts";
import { shaders } from "./shaders.ts";

interface HestiaCall extends Rows {
  readonly overrides: Record<string, number>;
}

interface BackwardCall extends HestiaCall {
  readonly throughScale: boolean;
}

function call([{ shape }]: readonly Strided[], attributes: Attributes): HestiaCall {
  const { groupSize } = attributes;
  const size = sizeOf(shape);
  const width = groupSize === 0 ? size : groupSize === -1 ? size / shape[0] : groupSize as number;
  return { rows: size / width, width, overrides: overridesOf(attributes) };
}

/** What the relaxation's rules are to the shaders. */
function overridesOf(attributes: Attributes): Record<string, number> {
  const { hard, scaleDtype, scaleRule, scaleEpsilon, tieRule } = attributes;
  return {
    HARD: Number(hard),
    HALF: Number(scaleDtype === "float16"),
    EPSILON: scaleEpsilon as number,
    OFFSET: Number(scaleRule === "offset"),
    LOWER: Number(tieRule === "lower"),
  };
}

/** Elements of the groups that an invocation works on, if they are short. */
const STRETCH = 512;
/** Fewest invocations that keep a device busy. */
const BUSY = 1024;

/** Short groups one after another, where there are many: memory is read sooner in longer stretches. */
const rowsTogether = ({ rows, width }: Rows) => Math.max(1, Math.min(Math.floor(STRETCH / width), Math.floor(rows / BUSY)));

/**
 * How relaxed weights run. Inputs: weight, sharpness, pressure. The weight is read from memory once and the result written once; each
 * invocation reads its group again from the cache. Where textures are read, filling them moves the weight once more.
 */
export const hestiaForwardBinding: KernelBinding<HestiaCall> = rowBinding({
  name: "hestia_forward",
  source: shaders.hestia_forward,
  inputs: ["rows", "buffer", "buffer"],
  passes: 2,
  rowsTogether,
  overrides: ({ overrides }: HestiaCall) => overrides,
}, (inputs, _, attributes) => call(inputs, attributes));

/** How their gradient runs. Inputs: weight, gradient, sharpness, pressure; the first two are read from memory once. */
export const hestiaBackwardBinding: KernelBinding<BackwardCall> = rowBinding({
  name: "hestia_backward",
  source: shaders.hestia_backward,
  inputs: ["rows", "rows", "buffer", "buffer"],
  passes: 3,
  rowsTogether,
  overrides: ({ overrides, throughScale }: BackwardCall) => ({ ...overrides, THROUGH_SCALE: Number(throughScale) }),
}, (inputs, _, attributes) => ({ ...call(inputs, attributes), throughScale: attributes.scaleGradient === true }));
