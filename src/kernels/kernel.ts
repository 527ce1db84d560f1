/**
 * What a kernel is: a stored shader and the pure functions that specialise it for one call.
 *
 * @module
 */

/** Workgroups along x, y and z. */
export type Grid = readonly [x: number, y: number, z: number];

/** Limits of a device that decide how work is cut into dispatches. */
export interface DeviceLimits {
  /** Largest byte length one binding may have. */
  readonly maxBindingBytes: number;
  /** Most storage buffers one shader may bind. */
  readonly maxStorageBuffers: number;
  /** Most textures one shader may read. */
  readonly maxTextures: number;
  /** Most workgroups along one axis of a dispatch. */
  readonly maxWorkgroups: number;
}

/**
 * The TypeScript half of one WGSL file. `Call` holds the sizes of one call. Everything here is a pure function of the call, so a
 * kernel is testable without a device.
 */
export interface Kernel<Call> {
  readonly name: string;
  /** WGSL text, one entry point named `main`. Binding order: inputs, output, then the `Params` uniform if there is one. */
  readonly source: string;
  /** Whether the kernel computes this call (alignment, layout, sizes). */
  applies(call: Call): boolean;
  /** Whether it is expected to be fast for a call that it applies to, always if absent; where it is not, only devices that time it take it. */
  suits?(call: Call): boolean;
  /** Name of the order in which it adds up: kernels of one order give the same bits, so that devices may choose among them by time. */
  readonly order?: string;
  /**
   * Where inputs are bound as textures instead of buffers (see `textures.ts`): how many texels of each input a call reads, counted
   * from its start; `undefined` for one that stays a buffer.
   */
  texels?(call: Call): readonly (number | undefined)[];
  /** Keeps tiles in workgroup memory, which is slow on devices that read textures sooner than buffers: not for those. */
  readonly tiled?: true;
  /** Values of the shader's `override` constants. */
  overrides(call: Call): Record<string, number>;
  /** Content of the `Params` uniform; empty when the shader has none. */
  params(call: Call): Uint32Array<ArrayBuffer>;
  grid(call: Call, limits: DeviceLimits): Grid;
}

/** Whether a device prefers the inputs of a kernel where the kernel wants them. */
export function isFor(
  kernel: Pick<Kernel<never>, "tiled" | "texels">,
  { texelReads }: { readonly texelReads: boolean },
): boolean {
  return !(texelReads ? kernel.tiled : kernel.texels);
}

/** The kernel that computes a call on a device if nothing was timed: the first one that applies and suits. */
export function kernelFor<Call>(
  kernels: readonly Kernel<Call>[],
  call: Call,
  target: { readonly texelReads: boolean },
): Kernel<Call> | undefined {
  return kernels.find((kernel) => isFor(kernel, target) && kernel.applies(call) && (kernel.suits?.(call) ?? true));
}
