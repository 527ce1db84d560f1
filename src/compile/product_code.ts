/**
 * Text of kernels that multiply matrices and go on with the products element by element.
 *
 * @module
 */

import type { FlatNode, Slot } from "../core/program.ts";
import type { Binding } from "../core/program.ts";
import { TEXTURE_WIDTH } from "../core/texels.ts";
import { type MatmulCall, type MatmulKernel, matmulKernels, type MatmulPart } from "../kernels/matmul.ts";
import { withEpilogue } from "../kernels/matmul_text.ts";
import { type CodeBinding, CodeBuffers, type Load } from "./code_buffers.ts";
import { ExpressionWriter } from "./expression.ts";
import type { Product } from "./groups.ts";
import { type ProductTerms, productTerms } from "./products.ts";

type Side = "a" | "b";
type SlotOf = (node: number) => Slot;

/** Operands of one side as a kernel binds them. */
interface Packed {
  readonly bindings: readonly Binding[];
  /** Of each product, the buffer and the elements before its operand. */
  readonly places: readonly { readonly buffer: number; readonly offset: number }[];
}

/** A kernel with its call and the bindings of its operands. */
export interface ProductPlan {
  readonly kernel: MatmulKernel;
  readonly call: MatmulCall;
  /** Whether the kernel is expected to be fast for it. */
  readonly suits: boolean;
  readonly operands: readonly Binding[];
}

const sourcesOf = (products: readonly ProductTerms[], side: Side) =>
  products.flatMap(({ terms }) => terms.map((term) => term[side]));

function inBuffers(products: readonly ProductTerms[], side: Side, slotOf: SlotOf): Packed {
  const sources = sourcesOf(products, side);
  const bases = [...new Set(sources.map(({ base }) => base))];
  return {
    bindings: bases.map((base) => ({ slot: slotOf(base), access: "read" })),
    places: sources.map(({ base, offset }) => ({ buffer: bases.indexOf(base), offset })),
  };
}

/** All operands of one side in one texture, each from the beginning of a line. */
function inTexture(kernel: MatmulKernel, products: readonly ProductTerms[], side: Side, slotOf: SlotOf): Packed {
  const sources = sourcesOf(products, side);
  const { call } = products[0];
  const bases = [...new Set(sources.map(({ base }) => base))];
  let line = 0;
  const parts = bases.map((base) => {
    const offset = Math.max(...sources.filter((source) => source.base === base).map((source) => source.offset));
    const texels = kernel.texels!({ ...call, [side]: { ...call[side], offset } })[side === "a" ? 0 : 1]!;
    const part = { slot: slotOf(base), texels, line };
    line += Math.ceil(texels / TEXTURE_WIDTH);
    return part;
  });
  const [{ slot }] = parts;
  const last = parts[parts.length - 1];
  const texels = last.line * TEXTURE_WIDTH + last.texels;
  const start = (base: number) => parts[bases.indexOf(base)].line * TEXTURE_WIDTH * 4;
  return {
    bindings: [{ slot, access: "read", texels, ...(parts.length > 1 && { parts }) }],
    places: sources.map(({ base, offset }) => ({ buffer: 0, offset: start(base) + offset })),
  };
}

/** The kernels that compute all products at once, in order of preference. */
export function planProducts(nodes: readonly FlatNode[], products: readonly Product[], slotOf: SlotOf): ProductPlan[] {
  const terms = products.map(({ node }) => productTerms(nodes, nodes[node]));
  const buffers = (["a", "b"] as const).map((side) => inBuffers(terms, side, slotOf));
  return matmulKernels.flatMap((kernel) => {
    const [a, b] = kernel.texels ? (["a", "b"] as const).map((side) => inTexture(kernel, terms, side, slotOf)) : buffers;
    const parts = a.places.map((place, index): MatmulPart => ({ a: place, b: b.places[index] }));
    const call = { ...terms[0].call, parts, outputs: products.length };
    return kernel.applies(call)
      ? [{ kernel, call, suits: kernel.suits?.(call) ?? true, operands: [...a.bindings, ...b.bindings] }]
      : [];
  });
}

/** What `productCode` needs. */
export interface ProductRequest {
  readonly nodes: readonly FlatNode[];
  readonly products: readonly Product[];
  /** The shader of the products alone, and whether it stores four neighbouring elements at once. */
  readonly text: string;
  readonly storesQuads: boolean;
  /** How many bindings it has before its output. */
  readonly operands: number;
  /** Buffers besides the operands. */
  readonly bindings: readonly CodeBinding[];
  /** Name of the output of each node that is stored. */
  readonly stores: ReadonlyMap<number, string>;
}

/** Shader of products and what follows them. */
export function productCode({ nodes, products, text, storesQuads, operands, bindings, stores }: ProductRequest): string {
  const buffers = new CodeBuffers(bindings, storesQuads);
  const store = ({ node, roots }: Product): string[] => {
    const load: Load = (read, linear, isWide) =>
      read === node ? "value" : stores.has(read) ? undefined : buffers.load(read, linear, isWide);
    const writer = new ExpressionWriter(nodes, load, "v");
    const index = { linear: "at" };
    const value = (root: number) => storesQuads ? writer.wideValue(root, index) : writer.value(root, index);
    const stored = roots.map((root) => buffers.store(stores.get(root)!, "at", value(root)));
    return [...writer.lines, ...stored];
  };
  const stored = buffers.settle(() => {
    const bodies = products.map((product) => store(product).join("\n"));
    if (bodies.length === 1) return bodies[0];
    const cases = bodies.map((body, index) => `${index === bodies.length - 1 ? "default" : `case ${index}u`}: {\n${body}\n}`);
    return `switch output {\n${cases.join("\n")}\n}`;
  });
  const out = buffers.declarations(operands);
  const params = operands + bindings.filter(({ access }) => access !== "overwritten").length;
  return buffers.withHead(withEpilogue(text, { out, store: stored, params }));
}
