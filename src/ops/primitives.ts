/**
 * The table of primitives.
 *
 * @module
 */

import type { Primitive } from "../core/graph.ts";
import { elementwise } from "./elementwise.ts";
import { generators } from "./generators.ts";
import { gather, scatterAdd } from "./indexing.ts";
import { matmul } from "./matmul.ts";
import { reductions } from "./reductions.ts";
import { views } from "./views.ts";

/** Every primitive by name. Tests are tables over these names, so that the type checker misses none. */
export const primitives = {
  ...elementwise,
  ...views,
  ...reductions,
  ...generators,
  gather,
  scatterAdd,
  matmul,
} as const satisfies Record<string, Primitive>;

/** Name of a primitive. */
export type PrimitiveName = keyof typeof primitives;
