/**
 * Second stage: fused operations that no kernel computes become their composition, and nodes that nobody needs are dropped.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { type CutTarget, isLarge } from "../core/pieces.ts";
import { stridesOf } from "../core/shape.ts";
import { canRun, type Kernel, kernelFor, type KernelTarget } from "../kernels/kernel.ts";

/** Settings of `chooseKernels`. */
export interface ChooseOptions {
  /** `false` replaces every fused operation by its composition, which tests compare with. */
  readonly fused?: boolean;
  /** Shaders bind whole tensors: of what is too large for a buffer, the composition is cut, unless the operation says how else. */
  readonly target: KernelTarget & CutTarget;
  /** Names of one kernel or several to take wherever they apply. */
  readonly variant?: string | readonly string[];
}

function hasKernel(
  node: FlatNode,
  nodes: readonly FlatNode[],
  { target, variant = [] }: ChooseOptions,
): boolean {
  if (node.op.kind !== "fused") return true;
  const { windows } = node.op;
  const tensors = [node, ...node.inputs.map((input) => nodes[input])];
  const isWindowed = (index: number) => windows && !windows.axes[index - 1]?.includes(-1);
  if (tensors.some((tensor, index) => isLarge(tensor, target) && !isWindowed(index))) return false;
  const inputs = node.inputs.map((input) => ({ shape: nodes[input].shape, strides: stridesOf(nodes[input].shape), offset: 0 }));
  const call = node.op.binding.call(inputs, node, node.attributes);
  const { kernels } = node.op.binding;
  const isNamed = (kernel: Kernel<unknown>) =>
    [variant].flat().includes(kernel.name) && canRun(kernel, target) && kernel.applies(call);
  return kernels.some(isNamed) || kernelFor(kernels, call, target) !== undefined;
}

/** What runs in place of a fused operation: its kernel, its window on the results of a kernel, or its composition. */
function chosen(position: number, nodes: readonly FlatNode[], options: ChooseOptions): number {
  const { op, inputs, composition } = nodes[position];
  if (op.kind !== "fused") return position;
  let whole = op.isPart ? inputs[0] : position;
  while (nodes[whole].op.kind === "view") whole = nodes[whole].inputs[0];
  const runs = options.fused !== false && hasKernel(nodes[whole], nodes, options);
  return runs ? op.isPart ? inputs[0] : position : composition!;
}

/** Largest part of a buffer that may lie idle behind an output. */
const mostIdle = 0.25;

/** The node whose buffer begins with the same elements in the same order. */
function sameMemory(
  nodes: readonly FlatNode[],
  inputsOf: readonly (readonly number[])[],
  position: number,
  target: CutTarget,
): number {
  for (;;) {
    const { op, shape, attributes } = nodes[position];
    const whole = inputsOf[position][0];
    const isFirstPart = op.name === "slice" && nodes[whole].op.kind === "fused" && nodes[whole].shape.length === 1 &&
      (attributes.start as readonly number[])[0] === 0 && shape[0] >= (1 - mostIdle) * nodes[whole].shape[0];
    const isLaidOutAnew = op.name === "reshape" && isLarge(nodes[position], target); // pieces are as the shape is
    if (isLaidOutAnew || !isFirstPart && !["reshape", "stopGradient"].includes(op.name)) return position;
    position = whole;
  }
}

/** The graph that will run. */
export function chooseKernels(graph: Graph, options: ChooseOptions): Graph {
  const alias = graph.nodes.map((_, position) => position);
  const inputsOf = graph.nodes.map((node) => node.inputs);
  graph.nodes.forEach((node, position) => {
    inputsOf[position] = node.inputs.map((input) => alias[input]);
    const taken = chosen(position, graph.nodes, options);
    if (taken !== position) alias[position] = alias[taken];
  });
  const outputs = graph.outputs.map((output) => sameMemory(graph.nodes, inputsOf, alias[output], options.target));
  const nodes = graph.nodes.map(({ composition: _, ...node }, position): FlatNode => ({ ...node, inputs: inputsOf[position] }));
  return prune({ ...graph, nodes, outputs });
}

/** Drops the nodes that nobody needs, but for leaves. */
export function prune(graph: Graph): Graph {
  const live = new Set<number>();
  const stack = [...graph.outputs];
  while (stack.length > 0) {
    const position = stack.pop()!;
    if (live.has(position)) continue;
    live.add(position);
    stack.push(...graph.nodes[position].inputs);
  }
  graph.leaves.forEach((position) => live.add(position));
  const renumbered = new Map([...live].sort((a, b) => a - b).map((position, index) => [position, index]));
  const moved = (list: readonly number[]) => list.map((position) => renumbered.get(position)!);
  const nodes = [...renumbered.keys()].map((position) => graph.nodes[position]);
  return {
    nodes: nodes.map((node) => ({ ...node, inputs: moved(node.inputs) })),
    leaves: moved(graph.leaves),
    outputs: moved(graph.outputs),
    donated: graph.donated,
  };
}
