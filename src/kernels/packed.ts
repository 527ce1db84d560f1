/**
 * Kernels of packed weights: ternary matrices of two bits a weight, and tables of half-precision rows.
 *
 * @module
 */

import type { Attributes, KernelBinding, Strided } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";
import { lineGrid } from "./grid.ts";
import { classText, type Kernel, MAX_TURNS } from "./kernel.ts";
import { replaceMarked } from "./marks.ts";
import { bound } from "./matmul_text.ts";
import { shaders } from "./shaders.ts";
import { MAX_TEXELS, readingTextures } from "./textures.ts";

/** Rows of a panel: the words of so many are interleaved. */
export const PANEL_ROWS = 64;
/** Blocks of four words: of two bits a weight, and of five weights a byte. */
export const TWO_BITS = { blockRows: 8, blockColumns: 8 } as const;
export const FIVE_A_BYTE = { blockRows: 20, blockColumns: 4 } as const;
/** Columns that one step of the kernels takes, and half of the codes of a word. */
export const EIGHT = 8;

/** Invocations that walk over neighbouring rows. */
const LANES = 8;
/** Rows of X that the kernel for several takes at once. */
const FEW_TOKENS = 4;

interface PackedCall {
  /** Rows of X. */
  readonly tokens: number;
  /** Rows of the weight. */
  readonly rows: number;
  /** Columns of both, in eights. */
  readonly eights: number;
  /** Columns that share a scale, in eights; one group where there are no scales. */
  readonly group: number;
  /** Rows of a panel; 64 where absent. */
  readonly panelRows?: number;
  /** What is added to the mean of the squares of a row of X, where it is normalised. */
  readonly epsilon?: number;
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

const panels = ({ rows, panelRows = PANEL_ROWS }: PackedCall): number => Math.ceil(rows / panelRows);
const tokensAtOnce = ({ tokens }: PackedCall): number => tokens === 1 ? 1 : FEW_TOKENS;

/** Fewest panels of which an invocation takes several: then workgroups still occupy a processor, and shaders repay their compilation. */
const MANY_PANELS = 16;
/** Columns that an invocation takes at a time where it shares them, in eights, if they have one scale: enough to repay reading that. */
const SPAN = 8;

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** How the invocations of a ternary kernel share the work. */
interface Share {
  /** Panels that an invocation takes: 1, 2, or 4 for one row of X. */
  readonly panelsAtOnce: 1 | 2 | 4;
  /** Invocations that share the columns of one row of X, a quarter of them where there are several: they decide the order of sums. */
  readonly slices: number;
  /** Whether it is the default. */
  readonly suits: (call: PackedCall) => boolean;
}

function ternaryKernel(name: TernaryName, { width }: TernaryLayout, { panelsAtOnce, slices, suits }: Share): Kernel<PackedCall> {
  const span = ({ group }: PackedCall) => slices === 1 ? group : greatestCommonDivisor(group, SPAN);
  const mostAtOnce = name === "ternary_matmul_dense" ? 4 : 8; // products that the shader tells apart
  const usesDots = name === "ternary_matmul_int8_dots";
  return {
    name: panelsAtOnce === 1 ? name : `${name}_${panelsAtOnce}_panels`,
    source: shaders[name],
    order: `${slices} slices`,
    ...usesDots && { needs: "packedDots" },
    ...width === 2 && { needs: "float16" },
    suits: (call) => !usesDots && suits(call),
    applies: (call) =>
      call.tokens * call.rows > 0 && call.eights > 0 && call.eights <= MAX_TURNS / 3 && // three loops
      panelsAtOnce * tokensAtOnce(call) <= mostAtOnce && !(usesDots && call.group % 2 > 0),
    overrides: (call) => ({
      TOKENS: tokensAtOnce(call),
      PANELS: panelsAtOnce,
      SLICES: tokensAtOnce(call) === 1 ? slices : Math.ceil(slices / FEW_TOKENS),
      ...width === 2 && { HALVES: 1 },
    }),
    params: (call) => Uint32Array.of(call.tokens, call.rows, call.eights, call.group, span(call), float32Bits(call.epsilon ?? 0)),
    grid(call, limits) {
      const tiles = Math.ceil(panels(call) / panelsAtOnce) * Math.ceil(call.tokens / tokensAtOnce(call));
      return lineGrid(tiles, limits, { workgroup: 1 });
    },
  };
}

const float32Bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0];

/**
 * The same kernel for rows of X that are normalised on the way, by the weight of a norm, its last input. Each tile of results sums the
 * squares anew, and each row of X multiplies by the weight: that saves a launch, and takes longer where rows are many.
 */
function normed(kernel: Kernel<PackedCall>): Kernel<PackedCall> {
  const source = replaceMarked(kernel.source, { norm: () => "  return norm[at];", out: bound(4), params: bound(5) });
  return {
    ...kernel,
    name: `${kernel.name}_normed`,
    source: `${source}\n@group(0) @binding(3) var<storage, read> norm: array<Quad>;\n`,
    tiled: true,
    applies: (call) => kernel.applies(call) && call.epsilon !== undefined,
    suits: ({ tokens }) => tokens <= FEW_TOKENS,
    overrides: (call) => ({ ...kernel.overrides(call), NORMED: 1 }),
  };
}

type TernaryName = "ternary_matmul" | "ternary_matmul_int8" | "ternary_matmul_int8_dots" | "ternary_matmul_dense";

/** How ternary weights lie, and what they are multiplied by. */
interface TernaryLayout {
  /** Bytes of an element of x. */
  readonly width: 1 | 2 | 4;
  /** Rows of four words, which are those of an invocation in one panel. */
  readonly blockRows: number;
  /** Columns of four words. */
  readonly blockColumns: number;
}

/**
 * One invocation walks over all columns, and takes several panels, where textures are read; a graphics processor has many share them. What
 * an invocation keeps limits its panels, and what workgroups may keep of shared sums, 16 KiB everywhere.
 */
function ternaryShares({ blockRows }: TernaryLayout): { readonly alone: readonly Share[]; readonly shared: readonly Share[] } {
  const isLong = blockRows > EIGHT;
  const usual = (call: PackedCall) => {
    if (panels(call) < MANY_PANELS) return 1;
    return (isLong ? 2 : 4) / (call.tokens === 1 ? 1 : 2);
  };
  const most = ([1, 2, 4] as const).filter((count) => count < 4 || !isLong);
  return {
    alone: most.map((panelsAtOnce) => ({ panelsAtOnce, slices: 1, suits: (call) => usual(call) === panelsAtOnce })),
    shared: isLong
      ? [{ panelsAtOnce: 1, slices: 16, suits: () => true }] // 10 KiB of sums
      : ([1, 2] as const).map((panelsAtOnce) => ({ panelsAtOnce, slices: 32, suits: () => panelsAtOnce === 1 })), // 8 and 16 KiB
  };
}

/** Fewest multiplications worth timing. */
const TIMED_WORK = 2 ** 20;

function ternaryBinding(names: readonly TernaryName[], layout: TernaryLayout): KernelBinding<PackedCall> {
  const { width, blockRows, blockColumns } = layout;
  const panelRows = LANES * blockRows;
  const texels: Texels = (call) => {
    const blocks = panels(call) * LANES;
    return [
      width === 1 ? call.tokens * Math.ceil(call.eights / 2) : call.tokens * call.eights * EIGHT * width / 16,
      blocks * call.eights * EIGHT / blockColumns,
      blocks * call.eights / call.group * blockRows / 4,
    ];
  };
  const { alone, shared } = ternaryShares(layout);
  return {
    kernels: [
      ...names.flatMap((name) => alone.map((share) => fromTextures(ternaryKernel(name, layout, share), texels))),
      ...names.flatMap((name) => shared.map((share) => ternaryKernel(name, layout, share))),
    ],
    goesOn: true,
    shapeClass({ tokens, rows, eights, group }) {
      if (tokens * rows * eights * EIGHT < TIMED_WORK) return undefined;
      return classText(width === 2 ? `${names[0]} of halves` : names[0], [tokens, rows, eights * EIGHT, group * EIGHT]);
    },
    call([, words, scales], output) {
      const eights = words.shape[1] * blockColumns / EIGHT;
      const tokens = sizeOf(output.shape.slice(0, -1));
      return { tokens, rows: output.shape.at(-1)!, eights, group: eights / scales.shape[1], panelRows };
    },
  };
}

/** The same for x that is normalised. Inputs: those, and the weight of a norm `[columns]`. Attribute: epsilon. */
function normedBinding({ kernels, call, goesOn, shapeClass }: KernelBinding<PackedCall>): KernelBinding<PackedCall> {
  return {
    kernels: kernels.filter(({ texels }) => !texels).map(normed),
    goesOn,
    shapeClass: (c) => shapeClass!(c)?.replace(/^\w+/, "$&_normed"),
    call: (inputs, output, attributes) => ({
      ...call(inputs, output, attributes),
      epsilon: attributes.epsilon as number,
    }),
  };
}

/** How products with ternary weights run. Inputs: x `[…, columns]`, words `[panels, eights, 8, 4]`, scales `[panels, groups, 8, 8]`. */
export const ternaryMatmulBinding: KernelBinding<PackedCall> = ternaryBinding(["ternary_matmul"], { width: 4, ...TWO_BITS });

/** The same for x of float16. */
export const ternaryMatmulHalfBinding: KernelBinding<PackedCall> = ternaryBinding(["ternary_matmul"], { width: 2, ...TWO_BITS });

/** The same for x of bytes, sixteen to four words, in the order that `ternary_matmul_int8.wgsl` tells: `[…, columns / 16, 4]`. */
export const ternaryMatmulInt8Binding: KernelBinding<PackedCall> = ternaryBinding(
  ["ternary_matmul_int8", "ternary_matmul_int8_dots"],
  { width: 1, ...TWO_BITS },
);

/** The same for weights of five to a byte: words `[panels, columns / 4, 8, 4]`, scales `[panels, groups, 8, 20]`. */
export const ternaryMatmulDenseBinding: KernelBinding<PackedCall> = ternaryBinding(["ternary_matmul_dense"], {
  width: 4,
  ...FIVE_A_BYTE,
});

/** The same for such weights and x of float16. */
export const ternaryMatmulDenseHalfBinding: KernelBinding<PackedCall> = ternaryBinding(["ternary_matmul_dense"], {
  width: 2,
  ...FIVE_A_BYTE,
});

/** The same for x of float32 that is normalised. */
export const ternaryMatmulNormedBinding: KernelBinding<PackedCall> = normedBinding(ternaryMatmulBinding);
export const ternaryMatmulDenseNormedBinding: KernelBinding<PackedCall> = normedBinding(ternaryMatmulDenseBinding);

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
