/**
 * Kernel of `scatterAdd`.
 *
 * @module
 */

import type { KernelBinding } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";
import { shaders } from "./shaders.ts";
import { lineGrid } from "./grid.ts";

interface ScatterAddCall {
  readonly tokens: number;
  readonly rows: number;
  readonly width: number;
}

/** How `scatterAdd` runs: one invocation for each element of the table. */
export const scatterAddBinding: KernelBinding<ScatterAddCall> = {
  kernels: [{
    name: "scatter_add",
    source: shaders.scatter_add,
    applies: ({ tokens }) => tokens <= 4 * 65_000, // see the loop in the shader
    overrides: () => ({}),
    params: ({ tokens, rows, width }) => new Uint32Array([tokens, rows, width]),
    grid: ({ rows, width }, limits) => lineGrid(rows * width, limits),
  }],
  call: ([, indices], output) => ({ tokens: sizeOf(indices.shape), rows: output.shape[0], width: sizeOf(output.shape.slice(1)) }),
};
