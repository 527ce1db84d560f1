/**
 * Programs run on the GPU with other settings than the library's own.
 *
 * @module
 */

import { type Tensor, type TensorData, useBackend } from "../../mod.ts";
import type { Backend } from "../../src/backend/backend.ts";
import { flattenGraph } from "../../src/compile/flatten.ts";
import { lower, type LowerOptions } from "../../src/compile/lower.ts";
import { variantNames } from "../../src/compile/variants.ts";
import type { DeviceLimits } from "../../src/kernels/kernel.ts";
import { heldBytes } from "../../src/core/program.ts";
import { sizeOf } from "../../src/core/shape.ts";

/** What varies: the compiler's options, limits below those of the device, and how large inputs are read. */
export interface Variation extends LowerOptions {
  readonly limits?: Partial<DeviceLimits>;
  /** Whether kernels read textures; as the device prefers by default. */
  readonly texelReads?: boolean;
  /** Whether float16 is stored in two bytes; as the device does by default. */
  readonly float16?: boolean;
}

/** The kernel that the environment wants wherever it applies. */
const variant = variantNames.find((name) => name === Deno.env.get("HESTIA_TUNE"));

/** Data of several tensors of one graph, compiled as told. Leaves must not have been computed elsewhere. */
export async function runLowered(
  outputs: readonly Tensor[],
  { limits, texelReads, float16, ...options }: Variation = {},
): Promise<TensorData[]> {
  const { maxBindingBytes } = limits ?? {};
  const device = await useBackend("webgpu", {
    limits: maxBindingBytes ? { maxBindingBytes, maxBufferBytes: heldBytes(maxBindingBytes) } : {},
  }) as Backend;
  const { graph, leaves } = flattenGraph(outputs.map(({ node }) => node), [], new Set());
  const target = {
    ...device,
    limits: { ...device.limits, ...limits },
    texelReads: texelReads ?? device.texelReads,
    float16: float16 ?? device.float16,
  };
  const buffers = leaves.map((leaf) => leaf.value!.buffer ?? device.upload(leaf.value!.host!, leaf));
  const results = device.prepare(graph, () => lower(graph, target, { variant, ...options })).run(buffers);
  const data = await device.read(results, outputs.map(({ dtype, shape }) => ({ dtype, length: sizeOf(shape) })));
  for (const buffer of [...results, ...buffers.filter((_, index) => !leaves[index].value!.buffer)]) device.free(buffer);
  return data;
}
