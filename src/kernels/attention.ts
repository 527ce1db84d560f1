/**
 * Kernels of attention, which keep scores for one tile at a time.
 *
 * @module
 */

import type { KernelBinding, Strided } from "../core/graph.ts";
import type { Kernel } from "./kernel.ts";
import { lineGrid } from "./grid.ts";
import { shaders } from "./shaders.ts";

/** Sizes of one call, and where its tensors lie. */
interface AttentionCall {
  readonly batch: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly headDim: number;
  /** Queries, keys, values; then gradient and output. All `[batch, positions, heads, headDim]`. */
  readonly views: readonly Strided[];
  /** Elements before the first logarithm. */
  readonly restOffset: number;
}

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

/** Inputs: queries, keys, values, position of the first query; then gradient, output, logarithms of the sums of rows. */
const reads: Pick<KernelBinding<AttentionCall>, "accepts" | "call"> = {
  accepts: (view, position) => position === 6 ? isDense(view) : position !== 3 && isAligned(view),
  call([q, k, v, , gradient, output, rest]) {
    const [batch, queries, heads, headDim] = q.shape;
    const [, keys, keyValueHeads] = k.shape;
    const views = gradient ? [q, k, v, gradient, output] : [q, k, v];
    return { batch, queries, heads, headDim, keys, keyValueHeads, views, restOffset: rest?.offset ?? 0 };
  },
};

function kernel(
  name: keyof typeof shaders,
  lines: "rows" | "keys",
  overrides: Record<string, number> = {},
): Kernel<AttentionCall> {
  const linesOf = ({ heads, keyValueHeads, queries, keys }: AttentionCall) =>
    lines === "keys" ? keys : queries * heads / keyValueHeads;
  return {
    name: lines === "keys" ? `${name}_keys` : name,
    source: shaders[name],
    tiled: true,
    applies: ({ headDim, batch, heads, queries, keys }) =>
      headDim % QUAD === 0 && headDim <= MAX_HEAD_DIM && batch * heads * queries * keys * headDim > 0,
    overrides: ({ headDim }) => ({ STEPS: Math.ceil(headDim / QUAD / STEP), ...overrides }),
    params({ batch, heads, keyValueHeads, queries, keys, headDim, views, restOffset }) {
      const inQuads = views.flatMap(({ strides, offset }) => [...strides.slice(0, 3), offset].map((elements) => elements / QUAD));
      const scale = new Uint32Array(Float32Array.of(1 / Math.sqrt(headDim)).buffer)[0];
      const sizes = [batch, keyValueHeads, queries, keys, heads / keyValueHeads, headDim / QUAD];
      return new Uint32Array([...inQuads, ...sizes, scale, restOffset]);
    },
    grid: (call, limits) => lineGrid(call.batch * call.keyValueHeads * Math.ceil(linesOf(call) / TILE), limits, { workgroup: 1 }),
  };
}

/** Output, then the logarithm of each row's sum. Inputs: queries, keys, values, uint32 scalar. */
export const attentionForwardBinding: KernelBinding<AttentionCall> = {
  ...reads,
  kernels: [kernel("attention_forward", "rows")],
};

/** Gradient of the queries. Inputs: those of the forward pass, gradient, output, logarithms. */
export const attentionQueryBackwardBinding: KernelBinding<AttentionCall> = {
  ...reads,
  kernels: [kernel("attention_backward", "rows", { FOR_KEYS: 0 })],
};

/** Gradients of the keys, then of the values. Inputs: those of the forward pass, gradient, output, logarithms. */
export const attentionKeyBackwardBinding: KernelBinding<AttentionCall> = {
  ...reads,
  kernels: [kernel("attention_backward", "keys", { FOR_KEYS: 1 })],
};
