/**
 * Kernels of packed weights: ternary matrices of two bits a weight, and tables of half-precision rows.
 *
 * @module
 */

import type { Attributes, KernelBinding, Strided } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";
import { lineGrid } from "./grid.ts";
import type { Kernel } from "./kernel.ts";
import { shaders } from "./shaders.ts";
import { MAX_TEXELS, readingTextures } from "./textures.ts";

/** Rows of a panel: the words of so many are interleaved. */
export const PANEL_ROWS = 64;
/** Columns that one step of the kernels takes, and half of the codes of a word. */
export const EIGHT = 8;

/** Invocations that walk over neighbouring rows. */
const LANES = 8;
/** Rows of X that the kernel for several takes at once. */
const FEW_TOKENS = 4;
/** Most turns of the loops of one invocation: Mesa 22.3 silently ends them after 65 535. */
const MAX_TURNS = 60_000;

interface PackedCall {
  /** Rows of X. */
  readonly tokens: number;
  /** Rows of the weight. */
  readonly rows: number;
  /** Columns of both, in eights. */
  readonly eights: number;
  /** Columns that share a scale, in eights; one group where there are no scales. */
  readonly group: number;
}

/** Texels of the inputs that the kernels read from textures. */
type Texels = (call: PackedCall) => readonly (number | undefined)[];

/** The same kernel, with its inputs read from textures where they fit. */
function fromTextures(kernel: Kernel<PackedCall>, texels: Texels): Kernel<PackedCall> {
  return {
    ...kernel,
    name: `${kernel.name}_texture`,
    source: readingTextures(kernel.source),
    applies: (call) => kernel.applies(call) && texels(call).every((count = 0) => count <= MAX_TEXELS),
    texels,
  };
}

const panels = ({ rows }: PackedCall): number => Math.ceil(rows / PANEL_ROWS);

/** Fewest panels of which an invocation takes several: then workgroups still occupy a processor, and shaders repay their compilation. */
const MANY_PANELS = 16;

/** One invocation walks over all columns, and takes several panels, where textures are read; a graphics processor has many share them. */
function ternaryKernel(name: "ternary_matmul" | "ternary_matmul_int8", slices: number): Kernel<PackedCall> {
  const tokensAtOnce = ({ tokens }: PackedCall) => tokens === 1 ? 1 : FEW_TOKENS;
  const panelsAtOnce = (call: PackedCall) => slices > 1 || panels(call) < MANY_PANELS ? 1 : call.tokens === 1 ? 4 : 2;
  return {
    name,
    source: shaders[name],
    applies: ({ tokens, rows, eights }) => tokens * rows > 0 && eights > 0 && eights <= MAX_TURNS / 3, // three loops
    overrides: (call) => ({
      TOKENS: tokensAtOnce(call),
      PANELS: panelsAtOnce(call),
      SLICES: tokensAtOnce(call) === 1 ? slices : Math.ceil(slices / FEW_TOKENS),
    }),
    params: ({ tokens, rows, eights, group }) => Uint32Array.of(tokens, rows, eights, group),
    grid(call, limits) {
      const tiles = Math.ceil(panels(call) / panelsAtOnce(call)) * Math.ceil(call.tokens / tokensAtOnce(call));
      return lineGrid(tiles, limits, { workgroup: 1 });
    },
  };
}

/** @param width bytes of an element of x */
function ternaryBinding(name: "ternary_matmul" | "ternary_matmul_int8", width: 1 | 4): KernelBinding<PackedCall> {
  const texels: Texels = (call) => {
    const blocks = panels(call) * LANES;
    return [
      Math.ceil(call.tokens * call.eights * EIGHT * width / 16),
      blocks * call.eights,
      blocks * call.eights / call.group * 2,
    ];
  };
  return {
    kernels: [fromTextures(ternaryKernel(name, 1), texels), ternaryKernel(name, 32)],
    call([x, words, scales], output) {
      const eights = words.shape[1];
      return { tokens: sizeOf(x.shape.slice(0, -1)), rows: output.shape.at(-1)!, eights, group: eights / scales.shape[1] };
    },
  };
}

/** How products with ternary weights run. Inputs: x `[…, columns]`, words `[panels, eights, 8, 4]`, scales `[panels, groups, 8, 8]`. */
export const ternaryMatmulBinding: KernelBinding<PackedCall> = ternaryBinding("ternary_matmul", 4);

/** The same for x of bytes, four to a word: `[…, columns / 4]`. */
export const ternaryMatmulInt8Binding: KernelBinding<PackedCall> = ternaryBinding("ternary_matmul_int8", 1);

function halfKernel({ slices, lanes }: { slices: number; lanes: number }): Kernel<PackedCall> {
  return {
    name: "half_matmul",
    source: shaders.half_matmul,
    applies: ({ tokens, rows, eights }) => tokens * rows > 0 && tokens <= FEW_TOKENS && eights > 0 && eights <= MAX_TURNS,
    overrides: () => ({ ROWS: PANEL_ROWS / lanes, SLICES: slices, LANES: lanes }),
    params: ({ tokens, rows, eights }) => Uint32Array.of(tokens, rows, eights),
    grid: (call, limits) => lineGrid(call.tokens * panels(call), limits, { workgroup: 1 }),
  };
}

const halfCall = (tokens: number, table: Strided, { rows }: Attributes): PackedCall => ({
  tokens,
  rows: rows as number,
  eights: table.shape[1],
  group: 1,
});

const halfTexels = (call: PackedCall): number => panels(call) * PANEL_ROWS * call.eights;

/** How products with a half-precision table run. Inputs: x `[…, columns]`, words `[panels, columns / 8, 64, 4]`. Attribute: rows. */
export const halfMatmulBinding: KernelBinding<PackedCall> = {
  kernels: [
    fromTextures(halfKernel({ slices: 1, lanes: 8 }), (call) => [call.tokens * call.eights * 2, halfTexels(call)]),
    halfKernel({ slices: 4, lanes: 64 }),
  ],
  call: ([x, table], _, attributes) => halfCall(sizeOf(x.shape.slice(0, -1)), table, attributes),
};

const halfGather: Kernel<PackedCall> = {
  name: "half_gather",
  source: shaders.half_gather,
  applies: ({ tokens, rows, eights }) => tokens * rows * eights > 0,
  overrides: () => ({}),
  params: ({ tokens, rows, eights }) => Uint32Array.of(tokens, rows, eights),
  grid: ({ tokens, eights }, limits) => lineGrid(tokens * eights, limits),
};

/** How rows of a half-precision table are fetched. Inputs: words `[panels, columns / 8, 64, 4]`, uint32 indices. Attribute: rows. */
export const halfGatherBinding: KernelBinding<PackedCall> = {
  kernels: [fromTextures(halfGather, (call) => [halfTexels(call), undefined]), halfGather],
  call: ([table, indices], _, attributes) => halfCall(sizeOf(indices.shape), table, attributes),
};
