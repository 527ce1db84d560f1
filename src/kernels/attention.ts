/**
 * Kernels of attention, which keep scores for one tile at a time: in workgroup memory, or in registers where textures are read.
 *
 * @module
 */

import type { KernelBinding, Strided } from "../core/graph.ts";
import { type Kernel, MAX_TURNS } from "./kernel.ts";
import { lineGrid } from "./grid.ts";
import { shaders } from "./shaders.ts";
import { MAX_TEXELS, readingTextures } from "./textures.ts";
import { unrolled } from "./unrolled.ts";

/** Sizes of one call, and where its tensors lie. */
interface AttentionCall {
  readonly batch: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly headDim: number;
  /** Queries, keys, values; then gradient and output, or four numbers for each of its rows. All `[batch, positions, heads, …]`. */
  readonly views: readonly Strided[];
  /** Elements before the first logarithm. */
  readonly restOffset: number;
}

/** What lines an invocation or a workgroup owns. */
type Lines = "rows" | "keys";

/** Elements of one vector load. */
const QUAD = 4;
/** Rows or keys of a workgroup. */
const TILE = 32;
/** Quads of one step through a head. */
const STEP = 8;
/** Widest heads: sums of an invocation are kept in registers. */
const MAX_HEAD_DIM = 128;

const isAligned = ({ shape, strides, offset }: Strided): boolean =>
  strides[3] === 1 && offset % QUAD === 0 &&
  strides.slice(0, 3).every((stride, axis) => shape[axis] === 1 || stride % QUAD === 0);

const isDense = ({ shape, strides }: Strided): boolean =>
  shape.reduceRight((stride, length, axis) => length === 1 || strides[axis] === stride ? stride * length : NaN, 1) > 0;

/**
 * Inputs: queries, keys, values, position of the first query; then gradient, output or four numbers for each of its rows, logarithms of the
 * sums of rows.
 */
const reads: Pick<KernelBinding<AttentionCall>, "accepts" | "call"> = {
  accepts: (view, position) => position === 6 ? isDense(view) : position !== 3 && isAligned(view),
  call([q, k, v, , gradient, output, rest]) {
    const [batch, queries, heads, headDim] = q.shape;
    const [, keys, keyValueHeads] = k.shape;
    const views = gradient ? [q, k, v, gradient, output] : [q, k, v];
    return { batch, queries, heads, headDim, keys, keyValueHeads, views, restOffset: rest?.offset ?? 0 };
  },
};

const linesOf = ({ heads, keyValueHeads, queries, keys }: AttentionCall, lines: Lines): number =>
  lines === "keys" ? keys : queries * heads / keyValueHeads;

/** The `Params` that all shaders share. */
function params(
  { batch, heads, keyValueHeads, queries, keys, headDim, views, restOffset }: AttentionCall,
): Uint32Array<ArrayBuffer> {
  const inQuads = views.flatMap(({ strides, offset }) => [...strides.slice(0, 3), offset].map((elements) => elements / QUAD));
  const scale = new Uint32Array(Float32Array.of(1 / Math.sqrt(headDim)).buffer)[0];
  const sizes = [batch, keyValueHeads, queries, keys, heads / keyValueHeads, headDim / QUAD];
  return new Uint32Array([...inQuads, ...sizes, scale, restOffset]);
}

const isThere = ({ headDim, batch, heads, queries, keys }: AttentionCall, maxHeadDim: number): boolean =>
  headDim % QUAD === 0 && headDim <= maxHeadDim && batch * heads * queries * keys * headDim > 0;

const forKeys = (lines: Lines) => ({ FOR_KEYS: lines === "keys" ? 1 : 0 });

/** Tiles in workgroup memory: for graphics processors. */
function tiled(name: "attention_forward" | "attention_backward", lines: Lines): Kernel<AttentionCall> {
  return {
    name: lines === "keys" ? `${name}_keys` : name,
    source: shaders[name],
    tiled: true,
    applies: (call) => isThere(call, MAX_HEAD_DIM),
    overrides: ({ headDim }) => ({
      STEPS: Math.ceil(headDim / QUAD / STEP),
      ...name === "attention_backward" && forKeys(lines),
    }),
    params,
    grid: (call, limits) =>
      lineGrid(call.batch * call.keyValueHeads * Math.ceil(linesOf(call, lines) / TILE), limits, { workgroup: 1 }),
  };
}

/** Invocations of a workgroup: the width of a software driver's vectors. */
const LANES = 8;
/** Widest heads whose loops are compiled in a second or two. */
const MAX_REGISTER_HEAD_DIM = 64;
/** Fewest multiplications of a product that repay compiling loops of this length. */
const UNROLLED_WORK = 2 ** 20;
/** Fewest invocations: two workgroups, one for each of two cores. */
const FEW_INVOCATIONS = 2 * LANES;

/** Lines of an invocation: the more, the less is loaded for each multiplication, and the longer a driver compiles. */
const ownLines = ({ headDim }: AttentionCall): number => headDim <= 32 ? 6 : 3;

/** Texels from the start of a buffer to the last one of a view. */
function texelsOf({ shape, strides, offset }: Strided): number {
  const last = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis], offset);
  return Math.ceil((last + 1) / QUAD);
}

/**
 * Lines in registers, those that they meet from textures: for software drivers, which load a texel in as many instructions as they take for
 * thirty multiplications, and emulate workgroup memory.
 */
function inRegisters(name: "attention_forward_texture" | "attention_backward_texture", lines: Lines): Kernel<AttentionCall> {
  const source = readingTextures(shaders[name]);
  const invocations = (call: AttentionCall) => call.batch * call.keyValueHeads * Math.ceil(linesOf(call, lines) / ownLines(call));
  const texels = (call: AttentionCall) => {
    const [q, k, v, gradient] = call.views.map(texelsOf);
    return [q, k, v, undefined, gradient, undefined, undefined];
  };
  return {
    name: lines === "keys" ? `${name}_keys` : name,
    source: shaders[name],
    text: (call) => unrolled(source, { QUADS: call.headDim / QUAD, LINES: ownLines(call), KEYS: 2 }),
    texels,
    applies: (call) =>
      isThere(call, MAX_REGISTER_HEAD_DIM) && Math.max(...texels(call).map((count) => count ?? 0)) <= MAX_TEXELS &&
      Math.max(linesOf(call, "rows"), call.keys) <= MAX_TURNS,
    suits(call) {
      const { batch, heads, queries, keys, headDim } = call;
      return batch * heads * queries * keys * headDim >= UNROLLED_WORK && invocations(call) >= FEW_INVOCATIONS;
    },
    overrides: (): Record<string, number> => name === "attention_backward_texture" ? forKeys(lines) : {},
    params,
    grid: (call, limits) => lineGrid(invocations(call), limits, { workgroup: LANES }),
  };
}

/** Output, then the logarithm of each row's sum. Inputs: queries, keys, values, uint32 scalar. */
export const attentionForwardBinding: KernelBinding<AttentionCall> = {
  ...reads,
  kernels: [tiled("attention_forward", "rows"), inRegisters("attention_forward_texture", "rows")],
};

/**
 * Gradient of the queries, then for each row the sum of the products of gradient and output, four times. Inputs: those of the forward pass, gradient,
 * output, logarithms.
 */
export const attentionQueryBackwardBinding: KernelBinding<AttentionCall> = {
  ...reads,
  kernels: [tiled("attention_backward", "rows"), inRegisters("attention_backward_texture", "rows")],
};

/** Gradients of the keys, then of the values. Inputs: those of the forward pass, gradient, the sums of products, logarithms. */
export const attentionKeyBackwardBinding: KernelBinding<AttentionCall> = {
  ...reads,
  kernels: [tiled("attention_backward", "keys"), inRegisters("attention_backward_texture", "keys")],
};

/** Names of the kernels that keep lines in registers, which tests take at all sizes. */
export const registerVariants: readonly string[] = [
  attentionForwardBinding,
  attentionQueryBackwardBinding,
  attentionKeyBackwardBinding,
]
  .flatMap(({ kernels }) => kernels.filter(({ tiled }) => !tiled).map(({ name }) => name));
