/**
 * Text of generated kernels, from the stored templates.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import type { FlatNode } from "../core/program.ts";
import type { Reduction } from "../core/graph.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { shaders } from "../kernels/shaders.ts";
import { wgslLiteral, zero } from "../core/wgsl.ts";
import { ExpressionWriter, type Index } from "./expression.ts";

/** A buffer as generated code sees it. */
export interface CodeBinding {
  /** Node that it holds; -1 for partial results. */
  readonly node: number;
  readonly name: string;
  /** Dtype of the elements as stored. */
  readonly dtype: DType;
  /** `overwritten`: read through the output of the same name. */
  readonly access: "read" | "write" | "overwritten";
}

const elementType = { float32: "f32", float16: "f16", int32: "i32", uint32: "u32" } as const satisfies Record<DType, string>;

function declarations(bindings: readonly CodeBinding[]): string {
  return bindings.filter(({ access }) => access !== "overwritten").map(({ name, dtype, access }, index) =>
    `@group(0) @binding(${index}) var<storage, ${access === "read" ? "read" : "read_write"}> ${name}: array<${
      elementType[dtype]
    }>;`
  ).join("\n");
}

/** Puts generated lines in the place of the marked ones. */
function fill(template: string, parts: Record<string, string>): string {
  return template.split("\n").map((line) => {
    const marker = line.match(/\/\/: (\w+)$/)?.[1];
    return marker === undefined ? line : parts[marker];
  }).join("\n");
}

function assemble(template: string, bindings: readonly CodeBinding[], parts: Record<string, string>): string {
  const body = fill(template, { ...parts, bindings: declarations(bindings) });
  const head = bindings.some(({ dtype }) => dtype === "float16") ? "enable f16;\n" : "";
  return `${head}${body.includes("zero_bits") ? "var<private> zero_bits: u32 = 0u;\n" : ""}${body}`;
}

function loader(
  bindings: readonly CodeBinding[],
  computed: (node: number) => boolean,
): (node: number, linear: () => string) => string | undefined {
  const byNode = new Map(bindings.filter(({ access }) => access !== "write").map((binding) => [binding.node, binding]));
  return (node, linear) => {
    const binding = byNode.get(node);
    if (!binding || computed(node)) return undefined;
    const element = `${binding.name}[${linear()}]`;
    return binding.dtype === "float16" ? `f32(${element})` : element;
  };
}

function store(bindings: readonly CodeBinding[], name: string, position: string, value: string): string {
  const { dtype } = bindings.find((binding) => binding.name === name && binding.access === "write")!;
  return `${name}[${position}] = ${dtype === "float16" ? `f16(${value})` : value};`;
}

/** Shader that computes nodes element by element. `stores` names the output of each; `copies` stores a node as it is. */
export function mapShader(
  nodes: readonly FlatNode[],
  bindings: readonly CodeBinding[],
  stores: ReadonlyMap<number, string>,
  count: number,
  { copies = false } = {},
): string {
  const writer = new ExpressionWriter(nodes, loader(bindings, (node) => !copies && stores.has(node)), "v");
  const values = [...stores].map(([node, name]) => store(bindings, name, "i", writer.value(node, { linear: "i" })));
  const body = [...writer.lines, ...values].map((line) => `  ${line}`).join("\n");
  return assemble(shaders.map, bindings, { constants: `const COUNT: u32 = ${count}u;`, body });
}

/** How many invocations share the elements of one output, so that devices are busy and no loop is long. */
export function reductionParts(count: number, length: number): number {
  const busy = 4096; // invocations
  const longest = 16384; // iterations; some drivers stop a loop after 65535
  const wanted = count >= busy ? 1 : Math.min(Math.ceil(length / 64), Math.ceil(busy / Math.max(1, count)));
  return Math.max(1, wanted, Math.ceil(length / longest));
}

/** Where the element at position `r` of output `o` lies in the reduced tensor. */
function elementIndex(writer: ExpressionWriter, shape: Shape, axes: readonly number[]): Index {
  const kept = shape.map((length, axis) => axes.includes(axis) ? 1 : length);
  const reduced = shape.map((length, axis) => axes.includes(axis) ? length : 1);
  const long = (list: Shape) => list.flatMap((length, axis) => length !== 1 ? [axis] : []);
  const [inner, outer] = [long(reduced), long(kept)];
  const length = sizeOf(reduced);
  if (outer.every((axis) => axis < (inner[0] ?? Infinity))) return { linear: writer.define(`o * ${length}u + r`) };
  if (inner.every((axis) => axis < outer[0])) return { linear: writer.define(`r * ${sizeOf(kept)}u + o`) };
  const [fromOutput, fromLoop] = [writer.coordinates({ linear: "o" }, kept), writer.coordinates({ linear: "r" }, reduced)];
  return { coordinates: shape.map((_, axis) => axes.includes(axis) ? fromLoop[axis] : fromOutput[axis]) };
}

/** What `reduceShader` needs. */
export interface ReduceCode {
  readonly nodes: readonly FlatNode[];
  readonly reduction: number;
  /** The node stored: the reduction, or an expression that continues it. */
  readonly root: number;
  readonly bindings: readonly CodeBinding[];
  readonly parts: number;
  /** All at once, or partial results, or their combination. */
  readonly stage: "whole" | "first" | "second";
}

/** Shader of a reduction, with what comes before and after it fused. */
export function reduceShader({ nodes, reduction, root, bindings, parts, stage }: ReduceCode): string {
  const node = nodes[reduction];
  const op = node.op as Reduction;
  const [input] = node.inputs;
  const { shape } = nodes[input];
  const axes = node.attributes.axes as readonly number[];
  const count = sizeOf(node.shape);
  const length = stage === "second" ? parts : axes.reduce((product, axis) => product * shape[axis], 1);
  const shared = stage === "first" ? parts : 1;
  const loop = new ExpressionWriter(nodes, loader(bindings, () => false), "v");
  const element = stage === "second" ? `partials[r * COUNT + o]` : loop.value(input, elementIndex(loop, shape, axes));
  const combine = [...loop.lines, `accumulated = ${op.wgsl("accumulated", element)};`].map((line) => `    ${line}`).join("\n");
  const identity = Number.isFinite(op.identity) || node.dtype === "float32"
    ? op.identity
    : node.dtype === "uint32"
    ? 0
    : -(2 ** 31);
  return assemble(shaders.reduce, bindings, {
    constants: `const COUNT: u32 = ${count}u; const LENGTH: u32 = ${length}u; const PARTS: u32 = ${shared}u; const CHUNK: u32 = ${
      Math.ceil(length / shared)
    }u;`,
    identity: `  var accumulated = ${identity === 0 ? zero(node.dtype) : wgslLiteral(identity, node.dtype)};`,
    combine,
    store: stage === "first" ? "  partials[i] = accumulated;" : epilogue(nodes, reduction, root, bindings),
  });
}

function epilogue(nodes: readonly FlatNode[], reduction: number, root: number, bindings: readonly CodeBinding[]): string {
  const load = loader(bindings, () => false);
  const writer = new ExpressionWriter(nodes, (node, linear) => node === reduction ? "accumulated" : load(node, linear), "e");
  const value = writer.value(root, { linear: "o" });
  return [...writer.lines, store(bindings, "out0", "o", value)].map((line) => `  ${line}`).join("\n");
}
