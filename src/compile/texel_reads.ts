/**
 * Which buffers generated kernels may read from textures, where the device gains by it.
 *
 * @module
 */

import type { FlatNode } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { MAX_TEXELS } from "../kernels/textures.ts";
import type { CodeBinding } from "./code_buffers.ts";

/** Elements that a kernel has to load for a texture to be worth filling. */
const leastLoads = 16_384;

/** The largest part of an input, as a multiple of what a kernel loads of it, that is worth copying. */
const mostCopied = 2;

/** The kernel in question. */
export interface TexelReader {
  readonly nodes: readonly FlatNode[];
  readonly target: { readonly texelReads: boolean; readonly limits: { readonly maxTextures: number } };
  /** About how many elements of a node it loads. */
  loads(node: number): number;
}

/** Marks the inputs to read from textures: whole texels of float32 that the kernel loads often enough to repay the copy. */
export function readAsTexels(bindings: readonly CodeBinding[], { nodes, target, loads }: TexelReader): CodeBinding[] {
  if (!target.texelReads) return [...bindings];
  let left = target.limits.maxTextures;
  return bindings.map((binding) => {
    const { node, name, dtype, access } = binding;
    if (access === "write" || dtype !== "float32") return binding;
    const size = sizeOf(nodes[node].shape);
    const loaded = loads(node);
    const fits = size > 0 && size % 4 === 0 && size / 4 <= MAX_TEXELS;
    const repays = loaded >= leastLoads && size <= mostCopied * loaded;
    return fits && repays && left-- > 0
      ? { ...binding, ...(access === "overwritten" ? { name: `${name}_before`, access: "read" } : {}), texels: size / 4 }
      : binding;
  });
}
