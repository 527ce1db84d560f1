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
  /** Nodes that it stores. */
  readonly roots: readonly number[];
  readonly target: { readonly texelReads: boolean; readonly limits: { readonly maxTextures: number } };
  /** About how many elements of a node it loads. */
  loads(node: number): number;
}

/**
 * Whether a kernel rounds to float16. Where it rounds a texel as it is, a driver (Mesa's NIR) narrows the texel instead, towards
 * zero.
 */
function roundsToHalf(nodes: readonly FlatNode[], roots: readonly number[], read: ReadonlySet<number>): boolean {
  const computed = new Set(roots);
  for (const position of computed) {
    if (nodes[position].dtype === "float16") return true;
    for (const input of nodes[position].inputs) if (!read.has(input)) computed.add(input);
  }
  return false;
}

/** Marks the inputs to read from textures: whole texels of float32 that the kernel loads often enough to repay the copy. */
export function readAsTexels(bindings: readonly CodeBinding[], { nodes, roots, target, loads }: TexelReader): CodeBinding[] {
  const read = new Set(bindings.flatMap(({ node, access }) => access === "write" ? [] : node));
  if (!target.texelReads || roundsToHalf(nodes, roots, read)) return [...bindings];
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
