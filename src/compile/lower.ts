/**
 * Last stage: groups become dispatches on planned memory.
 *
 * @module
 */

import { bytesPerElement, type DType } from "../core/dtype.ts";
import type { KernelBinding } from "../core/graph.ts";
import type { Binding, Dispatch, Graph, Program } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import type { DeviceLimits } from "../kernels/kernel.ts";
import { chooseKernels } from "./choose.ts";
import type { CodeBinding } from "./code_buffers.ts";
import { fuse } from "./fuse.ts";
import { type Fusion, type Group, kernelInput, readsOf } from "./groups.ts";
import { mapCode } from "./map_code.ts";
import { type Memory, planMemory } from "./memory.ts";
import { layoutReduction, reductionCode } from "./reduction_code.ts";
import { lineGrid } from "../kernels/grid.ts";

/** What of a device the compiler needs to know. */
export interface Target {
  readonly limits: DeviceLimits;
  /** Whether shaders may store float16; otherwise such tensors are kept as rounded float32. */
  readonly float16: boolean;
}

/** Settings that tests vary. */
export interface LowerOptions {
  /** Use fused kernels (the default) or what they stand for. */
  readonly fused?: boolean;
}

/** How a tensor is stored on a target. */
export function storedDtype(dtype: DType, target: Target): DType {
  return dtype === "float16" && !target.float16 ? "float32" : dtype;
}

/** Compiles a graph for a device: pure, from plain data to plain data. */
export function lower(graph: Graph, target: Target, options: LowerOptions = {}): Program {
  const chosen = chooseKernels(graph, options);
  const fusion = fuse(chosen, { maxBuffers: target.limits.maxStorageBuffers });
  const bytesOf = (node: number) => {
    const { shape, dtype } = chosen.nodes[node];
    return sizeOf(shape) * bytesPerElement[storedDtype(dtype, target)];
  };
  const memory = planMemory(fusion, bytesOf);
  const dispatches = fusion.groups.flatMap((group, index) =>
    new GroupLowering(fusion, memory, target, group, index).dispatches()
  );
  const copies = memory.copies.map(({ node, slot }) => copy(fusion, memory, target, node, slot));
  return {
    dispatches: [...dispatches, ...copies],
    inputBytes: chosen.leaves.map(bytesOf),
    outputs: memory.outputs,
    scratchBytes: memory.scratchBytes,
    released: [...graph.donated].filter((index) => !memory.outputs.some(({ donor }) => donor === index)),
  };
}

function copy({ graph }: Fusion, memory: Memory, target: Target, node: number, slot: Binding["slot"]): Dispatch {
  const { shape, dtype } = graph.nodes[node];
  const stored = storedDtype(dtype, target);
  const bindings: CodeBinding[] = [{ node, name: "in0", dtype: stored, access: "read" }, {
    node: -1,
    name: "out0",
    dtype: stored,
    access: "write",
  }];
  const { shader, invocations } = mapCode({
    nodes: graph.nodes,
    bindings,
    stores: new Map([[node, "out0"]]),
    count: sizeOf(shape),
    copies: true,
  });
  return {
    label: "copy",
    shader,
    overrides: {},
    bindings: [{ slot: memory.slotOf.get(node)!, access: "read" }, { slot, access: "write" }],
    params: new Uint32Array(0),
    grid: lineGrid(invocations, target.limits),
  };
}

/** Lowers one group. */
class GroupLowering {
  constructor(
    private readonly fusion: Fusion,
    private readonly memory: Memory,
    private readonly target: Target,
    private readonly group: Group,
    private readonly index: number,
  ) {}

  dispatches(): Dispatch[] {
    const { nodes } = this.fusion.graph;
    const { op, shape } = nodes[this.group.roots[0]];
    if (sizeOf(shape) === 0) return [];
    if (op.kind === "kernel" || op.kind === "fused") return [this.#kernel(op.binding)];
    return this.group.reduction === undefined ? [this.#map()] : this.#reduce(this.group.reduction);
  }

  /** Buffers of generated code: every node read, and every node stored; one that overwrites a donated input is bound once. */
  #codeBindings(): CodeBinding[] {
    const { graph, stored } = this.fusion;
    const { roots } = this.group;
    const dtypeOf = (node: number) => storedDtype(graph.nodes[node].dtype, this.target);
    const outputs = roots.map((node, k): CodeBinding => ({ node, name: `out${k}`, dtype: dtypeOf(node), access: "write" }));
    const slots = new Map(roots.map((node, k) => [this.memory.slotText(node), `out${k}`]));
    const reads = new Set(
      roots.flatMap((root) => [...readsOf(graph, stored, root).keys()]).filter((node) => !roots.includes(node)),
    );
    const inputs = [...reads].map((node, k): CodeBinding => {
      const overwritten = slots.get(this.memory.slotText(node));
      return { node, name: overwritten ?? `in${k}`, dtype: dtypeOf(node), access: overwritten ? "overwritten" : "read" };
    });
    return [...inputs, ...outputs];
  }

  #bindings(code: readonly CodeBinding[]): Binding[] {
    return code.filter(({ access }) => access !== "overwritten")
      .map(({ node, access }) => ({ slot: this.memory.slotOf.get(node)!, access: access as "read" | "write" }));
  }

  #dispatch(parts: Pick<Dispatch, "shader" | "bindings" | "grid"> & Partial<Dispatch>): Dispatch {
    const { nodes } = this.fusion.graph;
    const label = this.group.roots.map((root) => nodes[root].op.name).join("+");
    return { label, overrides: {}, params: new Uint32Array(0), ...parts };
  }

  #map(): Dispatch {
    const { nodes } = this.fusion.graph;
    const code = this.#codeBindings();
    const count = sizeOf(nodes[this.group.roots[0]].shape);
    const stores = new Map(this.group.roots.map((root, k) => [root, `out${k}`]));
    const { shader, invocations } = mapCode({ nodes, bindings: code, stores, count });
    return this.#dispatch({ shader, bindings: this.#bindings(code), grid: lineGrid(invocations, this.target.limits) });
  }

  #reduce(reduction: number): Dispatch[] {
    const { nodes } = this.fusion.graph;
    const [root] = this.group.roots;
    const { inputs: [input], attributes, dtype } = nodes[reduction];
    const layout = layoutReduction(nodes[input].shape, attributes.axes as readonly number[]);
    const whole = { nodes, reduction, root, layout };
    const code = this.#codeBindings();
    const partials = this.memory.partials.get(this.index);
    if (!partials) {
      const { shader, invocations } = reductionCode({ ...whole, bindings: code, stage: "whole" });
      return [this.#dispatch({ shader, bindings: this.#bindings(code), grid: lineGrid(invocations, this.target.limits) })];
    }
    const loop = readsOf(this.fusion.graph, this.fusion.stored, reduction);
    const after = this.#epilogueReads(reduction);
    const reads = code.filter(({ access }) => access === "read").map((binding) => ({ ...binding, access: "read" as const }));
    const outputs = code.filter(({ access }) => access === "write").map((binding) => ({ ...binding, access: "write" as const }));
    const between = { node: -1, name: "partials", dtype: storedDtype(dtype, this.target) };
    const stages = [
      { stage: "first", bindings: [...reads.filter(({ node }) => loop.has(node)), { ...between, access: "write" }] },
      { stage: "second", bindings: [{ ...between, access: "read" }, ...reads.filter(({ node }) => after.has(node)), ...outputs] },
    ] as const;
    return stages.map(({ stage, bindings }) => {
      const { shader, invocations } = reductionCode({ ...whole, bindings, stage });
      const slots = bindings.map(({ node, access }): Binding => ({
        slot: node === -1 ? partials : this.memory.slotOf.get(node)!,
        access,
      }));
      return this.#dispatch({ shader, bindings: slots, grid: lineGrid(invocations, this.target.limits) });
    });
  }

  #epilogueReads(reduction: number): Set<number> {
    const { graph, stored } = this.fusion;
    const [root] = this.group.roots;
    if (root === reduction) return new Set();
    const stop = stored.map((isStored, node) => isStored || node === reduction);
    return new Set(readsOf(graph, stop, root).keys());
  }

  #kernel(binding: KernelBinding): Dispatch {
    const { nodes } = this.fusion.graph;
    const [root] = this.group.roots;
    const node = nodes[root];
    const inputs = node.inputs.map((_, position) => kernelInput(nodes, node, position));
    const call = binding.call(inputs.map(({ view }) => view), node, node.attributes);
    const kernel = binding.kernels.find((candidate) => candidate.applies(call));
    if (!kernel) {
      throw new RangeError(
        `Cannot compute ${node.op.name} of ${inputs.map(({ view }) => `[${view.shape}]`)}: no kernel takes these sizes`,
      );
    }
    const texels = kernel.texels?.(call);
    const bindings = [
      ...inputs.map(({ base }, position): Binding => ({
        slot: this.memory.slotOf.get(base)!,
        access: "read",
        ...(texels && { texels: texels[position] }),
      })),
      { slot: this.memory.slotOf.get(root)!, access: "write" } as const,
    ];
    const grid = kernel.grid(call, this.target.limits);
    return this.#dispatch({
      label: kernel.name,
      shader: kernel.source,
      overrides: kernel.overrides(call),
      params: kernel.params(call),
      bindings,
      grid,
    });
  }
}
