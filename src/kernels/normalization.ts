/**
 * Kernels of root-mean-square normalisation.
 *
 * @module
 */

import type { KernelBinding } from "../core/graph.ts";
import { rowKernels, type Rows, rowsOf } from "./rows.ts";
import { shaders } from "./shaders.ts";

interface NormCall extends Rows {
  readonly epsilon: number;
}

interface NormBackwardCall extends NormCall {
  /** Rows whose parts of the gradient of the weight are one sum, at most 8. */
  readonly rowsTogether: number;
}

const overrides = ({ epsilon }: NormCall) => ({ EPSILON: epsilon });

const call: KernelBinding<NormCall>["call"] = (_, output, { epsilon }) => ({
  ...rowsOf(output.shape),
  epsilon: epsilon as number,
});

/** Inputs: x, weight. */
export const rmsNormForwardBinding: KernelBinding<NormCall> = {
  kernels: rowKernels({
    name: "rms_norm_forward",
    source: shaders.rms_norm_forward,
    inputs: ["rows", "row"],
    passes: 2,
    overrides,
  }),
  call,
};

/** Gradient of x, then sums of rows of that of the weight. Inputs: x, weight, gradient of the result. */
export const rmsNormBackwardBinding: KernelBinding<NormBackwardCall> = {
  kernels: rowKernels<NormBackwardCall>({
    name: "rms_norm_backward",
    source: shaders.rms_norm_backward,
    inputs: ["rows", "row", "rows"],
    passes: 3,
    rowsTogether: ({ rowsTogether }) => rowsTogether,
    overrides,
  }),
  call: ([x], _, { epsilon, rowsTogether }) => ({
    ...rowsOf(x.shape),
    epsilon: epsilon as number,
    rowsTogether: rowsTogether as number,
  }),
};
