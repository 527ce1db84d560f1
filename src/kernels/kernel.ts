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
  /** The shader for a call, where it is not the stored one. */
  text?(call: Call): string;
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
  /** What only some devices are able to do. */
  readonly needs?: "packedDots" | "float16";
  /** Values of the shader's `override` constants. */
  overrides(call: Call): Record<string, number>;
  /** Content of the `Params` uniform; empty when the shader has none. */
  params(call: Call): Uint32Array<ArrayBuffer>;
  grid(call: Call, limits: DeviceLimits): Grid;
}

/** Most turns of the loops of one invocation: Mesa 22.3 silently ends them after 65 535. */
export const MAX_TURNS = 60_000;

/** What of a device decides which kernels it runs. */
export interface KernelTarget {
  /** Whether to read a texture, its filling included, takes less time than to read a buffer. */
  readonly texelReads: boolean;
  /** Whether shaders may use `dot4I8Packed`, WGSL's language feature `packed_4x8_integer_dot_product`. */
  readonly packedDots: boolean;
  /** Whether float16 is stored in two bytes; otherwise such tensors are kept as rounded float32. */
  readonly float16: boolean;
}

/** Whether a device is able to run a kernel. */
export function canRun({ needs }: Pick<Kernel<never>, "needs">, target: KernelTarget): boolean {
  return needs === undefined || target[needs];
}

/** Whether a device runs a kernel, and prefers its inputs where the kernel wants them. */
export function isFor(kernel: Pick<Kernel<never>, "tiled" | "texels" | "needs">, target: KernelTarget): boolean {
  return canRun(kernel, target) && !(target.texelReads ? kernel.tiled : kernel.texels);
}

/** The kernel that computes a call on a device if nothing was timed: the first one that applies and suits. */
export function kernelFor<Call, K extends Kernel<Call>>(kernels: readonly K[], call: Call, target: KernelTarget): K | undefined {
  return kernels.find((kernel) => isFor(kernel, target) && kernel.applies(call) && (kernel.suits?.(call) ?? true));
}

/** Names a class of calls that the same kernel is expected to be fastest for: of sizes that round to the same powers of two. */
export function classText(name: string, sizes: readonly number[]): string {
  return `${name} ${sizes.map((size) => 2 ** Math.round(Math.log2(size))).join("x")}`;
}
