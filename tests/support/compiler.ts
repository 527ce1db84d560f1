/**
 * The compiler without a device: graphs from tensors, and a small machine to compile for.
 *
 * @module
 */

import type { Tensor } from "../../mod.ts";
import { flattenGraph } from "../../src/compile/flatten.ts";
import { lower, type Target } from "../../src/compile/lower.ts";
import type { Dispatch, Graph, Program } from "../../src/core/program.ts";

/** The least that WebGPU promises. */
export const smallTarget: Target = {
  limits: { maxBindingBytes: 2 ** 27, maxStorageBuffers: 8, maxTextures: 4, maxWorkgroups: 65_535 },
  float16: false,
  texelReads: false,
  packedDots: true,
};

/** The graph of some outputs; `donated` come first among the inputs. */
export function flat(outputs: readonly Tensor[], donated: readonly Tensor[] = []): Graph {
  const nodes = (tensors: readonly Tensor[]) => tensors.map(({ node }) => node);
  return flattenGraph(nodes(outputs), nodes(donated), new Set(donated.keys())).graph;
}

/** The program of some outputs. */
export function programOf(outputs: readonly Tensor[], donated: readonly Tensor[] = []): Program {
  return lower(flat(outputs, donated), smallTarget);
}

/** Names of the buffers that a dispatch writes, or reads. */
export function slotsOf({ bindings }: Dispatch, access: "read" | "write"): string[] {
  return bindings.filter((binding) => binding.access === access).map(({ slot }) => `${slot.kind}${slot.index}`);
}
