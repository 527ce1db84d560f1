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
  /** Stores a node as it is, rather than computing it. */
  readonly copies?: boolean;
}

/** Shader that computes nodes element by element, four neighbours in one invocation where the count allows. */
export function mapCode({ nodes, bindings, stores, count, copies = false }: MapRequest): GeneratedCode {
  const wide = count % 4 === 0;
  const buffers = new CodeBuffers(bindings, wide);
  const load: Load = (node, linear, isWide) => !copies && stores.has(node) ? undefined : buffers.load(node, linear, isWide);
  const body = buffers.settle(() => {
    const writer = new ExpressionWriter(nodes, load, "v");
    const value = (node: number) => wide ? writer.wideValue(node, { linear: "i" }) : writer.value(node, { linear: "i" });
    const stored = [...stores].map(([node, name]) => buffers.store(name, "i", value(node)));
    return [...writer.lines, ...stored].map((line) => `  ${line}`).join("\n");
  });
  const invocations = wide ? count / 4 : count;
  return { shader: buffers.fill(shaders.map, { constants: `const COUNT: u32 = ${invocations}u;`, body }), invocations };
}
