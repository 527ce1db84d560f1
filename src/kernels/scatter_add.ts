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

/** Elements that one invocation owns. */
const span = 16;

/** How `scatterAdd` runs: one invocation for each span of a row of the table. */
export const scatterAddBinding: KernelBinding<ScatterAddCall> = {
  kernels: [{
    name: "scatter_add",
    source: shaders.scatter_add,
    applies: ({ tokens }) => tokens <= 50_000, // a turn for four tokens, and one for each that is added: some drivers end after 65 535
    overrides: () => ({}),
    params: ({ tokens, rows, width }) => new Uint32Array([tokens, rows, width]),
    grid: ({ rows, width }, limits) => lineGrid(rows * Math.ceil(width / span), limits),
  }],
  call: ([, indices], output) => ({ tokens: sizeOf(indices.shape), rows: output.shape[0], width: sizeOf(output.shape.slice(1)) }),
};
