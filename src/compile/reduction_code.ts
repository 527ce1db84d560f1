/**
 * Text of kernels that reduce, with what comes before and after the reduction fused.
 *
 * @module
 */

import { saturate } from "../core/dtype.ts";
import type { Reduction } from "../core/graph.ts";
import type { FlatNode } from "../core/program.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { wgslConstant, wgslLiteral, wgslType } from "../core/wgsl.ts";
import { shaders } from "../kernels/shaders.ts";
import { type CodeBinding, CodeBuffers, type Load } from "./code_buffers.ts";
import { ExpressionWriter, type Index, quads } from "./expression.ts";
import type { GeneratedCode } from "./map_code.ts";

/** How a reduction is laid out over invocations. */
export interface ReductionLayout {
  /** Which axis is taken four elements at a time: one that is reduced, one that stays, or none. */
  readonly wide: "reduced" | "kept" | "none";
  /** Outputs, in fours where those are wide. */
  readonly count: number;
  /** Elements combined into each, in fours where those are wide. */
  readonly length: number;
  /** Invocations of one workgroup that share an output's elements; a power of two, 1 where there are `parts`. */
  readonly members: number;
  /** Partial results of each output, which a second kernel combines; 1 for none. */
  readonly parts: number;
}

const busy = 4096; // invocations that keep a device occupied
const workgroup = 64; // invocations where outputs do not need more
const mostMembers = 256; // invocations that every device has in one workgroup
const longest = 16384; // iterations of a loop; some drivers stop one after 65535
const manyParts = 1024; // beyond these, one loop over all parts would lose digits

/** Plans a reduction so that devices are busy and no loop is long. */
export function layoutReduction(shape: Shape, axes: readonly number[]): ReductionLayout {
  const innermost = shape.length - 1;
  const aligned = innermost >= 0 && shape[innermost] % 4 === 0 && shape[innermost] > 0;
  const wide = !aligned ? "none" : axes.includes(innermost) ? "reduced" : "kept";
  const elements = axes.reduce((product, axis) => product * shape[axis], 1);
  const outputs = sizeOf(shape.filter((_, axis) => !axes.includes(axis)));
  const length = wide === "reduced" ? elements / 4 : elements;
  const count = wide === "kept" ? outputs / 4 : outputs;
  const useful = count >= busy ? 1 : Math.min(Math.ceil(length / 32), Math.ceil(busy / Math.max(1, count)));
  // of very many elements, as many parts as each of them has turns
  const wanted = Math.max(1, useful, Math.ceil(length / Math.max(longest, Math.ceil(Math.sqrt(length)))));
  const members = 2 ** Math.ceil(Math.log2(wanted));
  return members <= mostMembers ? { wide, count, length, members, parts: 1 } : { wide, count, length, members: 1, parts: wanted };
}

/** Where the element at position `r` of output `o` lies in the reduced tensor of this (possibly quartered) shape. */
function elementIndex(writer: ExpressionWriter, shape: Shape, axes: readonly number[]): Index {
  const kept = shape.map((length, axis) => axes.includes(axis) ? 1 : length);
  const reduced = shape.map((length, axis) => axes.includes(axis) ? length : 1);
  const long = (list: Shape) => list.flatMap((length, axis) => length !== 1 ? [axis] : []);
  const [inner, outer] = [long(reduced), long(kept)];
  if (outer.every((axis) => axis < (inner[0] ?? Infinity))) return { linear: writer.define(`o * ${sizeOf(reduced)}u + r`) };
  if (inner.every((axis) => axis < outer[0])) return { linear: writer.define(`r * ${sizeOf(kept)}u + o`) };
  const [fromOutput, fromLoop] = [writer.coordinates({ linear: "o" }, kept), writer.coordinates({ linear: "r" }, reduced)];
  return { coordinates: shape.map((_, axis) => axes.includes(axis) ? fromLoop[axis] : fromOutput[axis]) };
}

/** What `reductionCode` needs. */
export interface ReductionRequest {
  readonly nodes: readonly FlatNode[];
  readonly reduction: number;
  /** The node stored: the reduction, or an expression that continues it. */
  readonly root: number;
  readonly bindings: readonly CodeBinding[];
  readonly layout: ReductionLayout;
  /** All at once, or partial results, or their combination. */
  readonly stage: "whole" | "first" | "second";
}

/** Shader of a reduction. */
export function reductionCode(request: ReductionRequest): GeneratedCode {
  const { nodes, reduction, bindings, layout, stage } = request;
  const { dtype, op } = nodes[reduction];
  const buffers = new CodeBuffers(bindings, layout.wide === "kept");
  const [combine, store] = buffers.settle(() => [loopBody(request, buffers), afterLoop(request, buffers)]);
  const wide = isWide(request);
  const type = wgslType(dtype, wide);
  const first = saturate((op as Reduction).identity, dtype);
  const identity = `  var accumulated = ${type}(${
    layout.length === 0 ? wgslConstant(first, dtype) : wgslLiteral(first, dtype)
  });`;
  const parts = { identity, combine, store };
  if (stage === "second" && layout.parts > manyParts) {
    const second = { ...layout, length: layout.parts, members: mostMembers };
    return sharedCode({ ...request, layout: second }, buffers, { ...parts, type });
  }
  return layout.members > 1 ? sharedCode(request, buffers, { ...parts, type }) : splitCode(request, buffers, parts);
}

/** Whether four neighbours are combined at once. */
const isWide = ({ layout, stage }: Pick<ReductionRequest, "layout" | "stage">) =>
  layout.wide === "kept" || layout.wide === "reduced" && stage !== "second";

/** What two partial results of a reduction make. */
function combined({ op, dtype }: FlatNode, accumulated: string, value: string, wide: boolean): string {
  return (op as Reduction).wgsl(accumulated, value, { dtype, wide });
}

const constants = (values: Readonly<Record<string, number>>) =>
  Object.entries(values).map(([name, value]) => `const ${name}: u32 = ${value}u;`).join(" ");

/** Each invocation has elements of its own to combine. */
function splitCode(
  { layout, stage }: ReductionRequest,
  buffers: CodeBuffers,
  lines: Readonly<Record<string, string>>,
): GeneratedCode {
  const parts = stage === "first" ? layout.parts : 1;
  const length = stage === "second" ? layout.parts : layout.length;
  const sizes = { COUNT: layout.count, LENGTH: length, PARTS: parts, CHUNK: Math.ceil(length / parts) };
  return { shader: buffers.fill(shaders.reduce, { ...lines, constants: constants(sizes) }), invocations: layout.count * parts };
}

/** Invocations of a workgroup share outputs: neighbours read what lies side by side. */
function sharedCode(
  request: ReductionRequest,
  buffers: CodeBuffers,
  { type, ...lines }: Readonly<Record<"type" | "identity" | "combine" | "store", string>>,
): GeneratedCode {
  const { nodes, reduction, layout: { count, length, members, wide } } = request;
  const lanes = Math.max(workgroup, members);
  const [memberStep, outputStep] = wide === "kept" ? [lanes / members, 1] : [1, members];
  const sizes = {
    COUNT: count,
    LENGTH: length,
    LANES: lanes,
    MEMBERS: members,
    MEMBER_STEP: memberStep,
    OUTPUT_STEP: outputStep,
  };
  const shader = buffers.fill(shaders.reduce_shared, {
    ...lines,
    constants: constants(sizes),
    shares: `var<workgroup> shares: array<${type}, LANES>;`,
    join: `    accumulated = ${combined(nodes[reduction], "accumulated", "shares[other]", isWide(request))};`,
  });
  return { shader, invocations: count * members, workgroup: lanes };
}

function loopBody({ nodes, reduction, layout, stage }: ReductionRequest, buffers: CodeBuffers): string {
  const { inputs: [input], attributes } = nodes[reduction];
  const wide = isWide({ layout, stage });
  const writer = new ExpressionWriter(nodes, buffers.load, "v");
  const element = () => {
    if (stage === "second") return buffers.at("partials", "r * COUNT + o");
    const { shape } = nodes[input];
    const index = elementIndex(writer, layout.wide === "none" ? shape : quads(shape), attributes.axes as readonly number[]);
    return layout.wide === "none" ? writer.value(input, index) : writer.wideValue(input, index);
  };
  const combination = `accumulated = ${combined(nodes[reduction], "accumulated", element(), wide)};`;
  return [...writer.lines, combination].map((line) => `    ${line}`).join("\n");
}

function afterLoop({ nodes, reduction, root, layout, stage }: ReductionRequest, buffers: CodeBuffers): string {
  const lanes = layout.wide === "reduced" && stage !== "second";
  const total = lanes
    ? [
      `let total = ${
        ["x", "y", "z", "w"].map((lane) => `accumulated.${lane}`).reduce((a, b) => `(${combined(nodes[reduction], a, b, false)})`)
      };`,
    ]
    : [];
  const result = lanes ? "total" : "accumulated";
  if (stage === "first") return [...total, buffers.store("partials", "i", result)].map((line) => `  ${line}`).join("\n");
  const load: Load = (node, linear, wide) => node === reduction ? result : buffers.load(node, linear, wide);
  const writer = new ExpressionWriter(nodes, load, "e");
  const value = layout.wide === "kept" ? writer.wideValue(root, { linear: "o" }) : writer.value(root, { linear: "o" });
  return [...total, ...writer.lines, buffers.store("out0", "o", value)].map((line) => `  ${line}`).join("\n");
}
