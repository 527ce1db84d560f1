/**
 * Text of kernels that compute element by element.
 *
 * @module
 */

import type { FlatNode } from "../core/program.ts";
import { shaders } from "../kernels/shaders.ts";
import { type CodeBinding, CodeBuffers, type Load } from "./code_buffers.ts";
import { ExpressionWriter } from "./expression.ts";

/** A generated shader and how many invocations it wants. */
export interface GeneratedCode {
  readonly shader: string;
  readonly invocations: number;
  /** Invocations of a workgroup, where they are not as many as usual. */
  readonly workgroup?: number;
}

/** What `mapCode` needs. */
export interface MapRequest {
  readonly nodes: readonly FlatNode[];
  readonly bindings: readonly CodeBinding[];
  /** Name of the output of each node that is stored. */
  readonly stores: ReadonlyMap<number, string>;
  /** Elements of each. */
  readonly count: number;
  /** Whether an invocation computes several quads, where there are many. */
  readonly inTurns: boolean;
  /** Stores a node as it is, rather than computing it. */
  readonly copies?: boolean;
}

/** Invocations side by side whose elements follow each other: the width of a software driver's vectors. */
const neighbours = 8;
/** Most turns of an invocation. */
const mostTurns = 16;
/** Invocations that keep a device busy. */
const busy = 4096;

/**
 * How often an invocation computes four neighbours. Software drivers take as long to start eight invocations as to store their results, so
 * a few invocations do the work of many, as long as there are enough to share among cores.
 */
function turnsOf(quads: number): number {
  let turns = 1;
  while (turns < mostTurns && quads % (2 * turns * neighbours) === 0 && quads / (2 * turns) >= busy) turns *= 2;
  return turns;
}

/** Shader that computes nodes element by element, four neighbours at once where the count allows. */
export function mapCode({ nodes, bindings, stores, count, inTurns, copies = false }: MapRequest): GeneratedCode {
  const wide = count % 4 === 0;
  const quads = wide ? count / 4 : count;
  const turns = wide && inTurns ? turnsOf(quads) : 1;
  const buffers = new CodeBuffers(bindings, wide);
  const load: Load = (node, linear, isWide) => !copies && stores.has(node) ? undefined : buffers.load(node, linear, isWide);
  const lines = buffers.settle(() => {
    const writer = new ExpressionWriter(nodes, load, "v");
    const value = (node: number) => wide ? writer.wideValue(node, { linear: "i" }) : writer.value(node, { linear: "i" });
    const stored = [...stores].map(([node, name]) => buffers.store(name, "i", value(node)));
    return [...writer.lines, ...stored];
  });
  const invocations = quads / turns;
  const body = inLoop(lines, turns).map((line) => `  ${line}`).join("\n");
  return { shader: buffers.fill(shaders.map, { constants: `const COUNT: u32 = ${invocations}u;`, body }), invocations };
}

function inLoop(lines: readonly string[], turns: number): string[] {
  if (turns === 1) return ["let i = place;", ...lines];
  return [
    `let start = (place - place % ${neighbours}u) * ${turns}u + place % ${neighbours}u;`,
    // groups.z is 1, which no driver knows: loops that are unrolled take long to compile
    `for (var turn = 0u; turn < ${turns}u * groups.z; turn++) {`,
    `  let i = start + turn * ${neighbours}u;`,
    ...lines.map((line) => `  ${line}`),
    "}",
  ];
}
