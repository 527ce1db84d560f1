/**
 * Last stage: groups become dispatches on planned memory.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import type { KernelBinding, TensorType } from "../core/graph.ts";
import { storedBytes } from "../core/pieces.ts";
import type { Binding, Dispatch, Graph, Program } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import type { DeviceLimits, Kernel, KernelTarget } from "../kernels/kernel.ts";
import { chooseKernels } from "./choose.ts";
import { cutLarge } from "./cut.ts";
import { cutSums } from "./cut_sums.ts";
import type { CodeBinding } from "./code_buffers.ts";
import { fuse, type FuseOptions, mandatory } from "./fuse.ts";
import { type Fusion, type Group, kernelInput, type Product, readsOf, type RowShape } from "./groups.ts";
import { type GeneratedCode, mapCode } from "./map_code.ts";
import { type Memory, planMemory } from "./memory.ts";
import { readHalf } from "./half_operands.ts";
import { planProducts, productCode, type ProductPlan } from "./product_code.ts";
import { sumProducts } from "./products.ts";
import { bareOutputs, rewrite } from "./rewrite.ts";
import { layoutReduction, reductionCode } from "./reduction_code.ts";
import { rowCode } from "./row_code.ts";
import { mostPositions, tooManyPositions } from "./positions.ts";
import { lineGrid } from "../kernels/grid.ts";
import { readAsTexels } from "./texel_reads.ts";
import { Picker, type PickOptions } from "./variants.ts";
import { matmulBinding } from "../kernels/matmul_binding.ts";

/** What of a device the compiler needs to know. */
export interface Target extends KernelTarget {
  readonly limits: DeviceLimits;
}

/** Settings that tests vary, and how kernels are picked. */
export interface LowerOptions extends PickOptions {
  /** Whether independent matrix products of one layout share kernels; by default where textures are not read. */
  readonly sideBySide?: boolean;
  /** Use fused kernels (the default) or what they stand for. */
  readonly fused?: boolean;
}

/** How a tensor is stored on a target. */
function storedDtype(dtype: DType, target: Target): DType {
  return dtype === "float16" && !target.float16 ? "float32" : dtype;
}

/** Bindings of the buffers of generated code. */
function bindingsOf(code: readonly CodeBinding[], slotOf: (binding: CodeBinding) => Binding["slot"]): Binding[] {
  return code.flatMap((each): Binding[] => {
    if (each.access === "overwritten") return [];
    const { texels, access } = each;
    return [{ slot: slotOf(each), access, ...(texels !== undefined && { texels }) }];
  });
}

/** Cuts what turns out to need memory and is too large for a buffer, until nothing is. */
function fuseCut(graph: Graph, target: Target, options: FuseOptions): Fusion {
  const fusion = fuse(graph, options);
  const { graph: cut } = cutLarge(graph, fusion.stored, target);
  return cut === graph ? fusion : fuseCut(cut, target, options);
}

/** Compiles a graph for a device: pure, from plain data to plain data. */
export function lower(graph: Graph, target: Target, options: LowerOptions = {}): Program {
  const kernels = chooseKernels(graph, { ...options, target });
  const { graph: small, pieces } = cutLarge(kernels, mandatory(kernels), target);
  // products side by side would read copies of weights that live in textures, and software drivers take seconds to compile a kernel more
  const bounds = {
    maxBuffers: target.limits.maxStorageBuffers,
    sideBySide: options.sideBySide ?? !target.texelReads,
    texelReads: target.texelReads,
  };
  const summed = sumProducts(target.float16 && !target.texelReads ? readHalf(small) : small, bounds);
  const fusion = fuseCut(bareOutputs(cutSums(rewrite(summed), target)), target, bounds);
  const { nodes, leaves, donated } = fusion.graph;
  const bytesOf = (node: number) => storedBytes(nodes[node], target);
  const memory = planMemory(fusion, bytesOf);
  const picker = new Picker(target, options);
  const dispatches = fusion.groups.flatMap((group, index) =>
    new GroupLowering(fusion, memory, target, picker, group, index).dispatches()
  );
  const filled = memory.copies.filter(({ node }) => bytesOf(node) > 0);
  const copies = filled.map(({ node, slot }) => copy(fusion, memory, target, node, slot));
  const buffers = { inputBytes: leaves.map(bytesOf), outputs: memory.outputs, scratchBytes: memory.scratchBytes };
  const contests = picker.contests(buffers);
  return {
    dispatches: [...dispatches, ...copies],
    ...buffers,
    ...(pieces && { pieces }),
    ...(contests.length > 0 && { contests }),
    released: [...donated].filter((index) => !memory.outputs.some(({ donor }) => donor === index)),
  };
}

function copy({ graph }: Fusion, memory: Memory, target: Target, node: number, slot: Binding["slot"]): Dispatch {
  const { shape, dtype } = graph.nodes[node];
  const stored = storedDtype(dtype, target);
  const bindings: CodeBinding[] = [
    { dtype: stored, node, name: "in0", access: "read" },
    { dtype: stored, node: -1, name: "out0", access: "write" },
  ];
  const { shader, invocations } = mapCode({
    nodes: graph.nodes,
    bindings,
    stores: new Map([[node, "out0"]]),
    count: sizeOf(shape),
    inTurns: target.texelReads,
    copies: true,
  });
  return {
    label: "copy",
    shader,
    overrides: {},
    bindings: bindingsOf(bindings, ({ access }) => access === "read" ? memory.slotOf.get(node)! : slot),
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
    private readonly picker: Picker,
    private readonly group: Group,
    private readonly index: number,
  ) {}

  dispatches(): Dispatch[] {
    const { nodes } = this.fusion.graph;
    const { op, shape } = nodes[this.group.roots[0]];
    if (sizeOf(shape) === 0) return [];
    this.#checkPositions();
    if (this.group.rows) return [this.#goOverRows(this.group.rows)];
    if (this.group.products) return this.#products(this.group.products);
    if (op.kind === "kernel" || op.kind === "fused") return this.#kernel(this.group.roots[0], op.binding);
    return this.group.reduction === undefined ? [this.#map()] : this.#reduce(this.group.reduction);
  }

  /** Positions are counted in 32 bits, and drivers end long loops. */
  #checkPositions(): void {
    const { nodes } = this.fusion.graph;
    const { roots, reduction, rows } = this.group;
    const over = [...roots, ...reduction === undefined ? [] : nodes[reduction].inputs].map((node): TensorType => nodes[node]);
    if (rows) over.push({ shape: [rows.count, rows.width], dtype: nodes[roots[0]].dtype });
    const large = over.find(({ shape }) => sizeOf(shape) > mostPositions);
    if (large !== undefined) throw tooManyPositions(nodes[roots[0]].op.name, large);
  }

  /** Buffers of generated code: every node read, and every node stored; one that overwrites a donated input is bound once. */
  #codeBindings(): CodeBinding[] {
    const { graph, stored } = this.fusion;
    const { roots } = this.group;
    const storage = (node: number) => ({ node, dtype: storedDtype(graph.nodes[node].dtype, this.target) });
    const outputs = roots.map((node, k): CodeBinding => ({ ...storage(node), name: `out${k}`, access: "write" }));
    const slots = new Map(roots.map((node, k) => [this.memory.slotText(node), `out${k}`]));
    const reads = new Set(
      roots.flatMap((root) => [...readsOf(graph, stored, root).keys()]).filter((node) => !roots.includes(node)),
    );
    const inputs = [...reads].map((node, k): CodeBinding => {
      const overwritten = slots.get(this.memory.slotText(node));
      return { ...storage(node), name: overwritten ?? `in${k}`, access: overwritten ? "overwritten" : "read" };
    });
    return [...inputs, ...outputs];
  }

  #generated(code: readonly CodeBinding[], { shader, invocations, workgroup }: GeneratedCode): Dispatch {
    const slotOf = ({ node }: CodeBinding) => node === -1 ? this.memory.partials.get(this.index)! : this.memory.slotOf.get(node)!;
    const grid = lineGrid(invocations, this.target.limits, { workgroup });
    return this.#dispatch({ shader, bindings: bindingsOf(code, slotOf), grid });
  }

  #dispatch(parts: Pick<Dispatch, "shader" | "bindings" | "grid"> & Partial<Dispatch>): Dispatch {
    const { nodes } = this.fusion.graph;
    const label = this.group.roots.map((root) => nodes[root].op.name).join("+");
    return { label, overrides: {}, params: new Uint32Array(0), ...parts };
  }

  #products(products: readonly Product[]): Dispatch[] {
    const [{ node }] = products;
    const { op } = this.fusion.graph.nodes[node];
    return op.kind === "fused" ? this.#kernel(node, op.binding) : [this.#multiply(products)];
  }

  #multiply(products: readonly Product[]): Dispatch {
    const { nodes } = this.fusion.graph;
    const plans = planProducts(nodes, products, (node) => this.memory.slotOf.get(node)!);
    const shapeClass = plans.length > 0 ? matmulBinding.shapeClass!(plans[plans.length - 1].call) : undefined;
    const dispatch = this.picker.pick(plans, shapeClass, (plan) => this.#product(products, plan));
    if (dispatch) return dispatch;
    const operands = products.flatMap(({ node }) => nodes[node].inputs.map((input) => `[${nodes[input].shape}]`));
    throw new RangeError(`Cannot compute matmul of ${operands}: no kernel takes these sizes`);
  }

  #product(products: readonly Product[], plan: ProductPlan): Dispatch {
    const { kernel, call, operands } = plan;
    return this.#dispatch({
      label: `${kernel.name}${products.length > 1 ? ` × ${products.length}` : ""}`,
      ...this.#goingOn(products, { text: kernel.text(call), storesQuads: kernel.storesQuads, operands }),
      overrides: kernel.overrides(call),
      params: kernel.params(call),
      grid: kernel.grid(call, this.target.limits),
    });
  }

  /** A shader of products that goes on with what follows them. */
  #goingOn(
    products: readonly Product[],
    { operands, ...kernel }: { text: string; storesQuads: boolean; operands: readonly Binding[] },
  ): Pick<Dispatch, "shader" | "bindings"> {
    const { nodes } = this.fusion.graph;
    const after = this.#epilogueReads(products.map(({ node }) => node));
    const code = this.#codeBindings().filter(({ node, access }) => access === "write" || after.has(node));
    const stores = new Map(this.group.roots.map((root, k) => [root, `out${k}`]));
    return {
      shader: productCode({ nodes, products, ...kernel, operands: operands.length, bindings: code, stores }),
      bindings: [...operands, ...bindingsOf(code, ({ node }) => this.memory.slotOf.get(node)!)],
    };
  }

  #map(): Dispatch {
    const { nodes } = this.fusion.graph;
    const count = sizeOf(nodes[this.group.roots[0]].shape);
    const code = readAsTexels(this.#codeBindings(), { nodes, target: this.target, loads: () => count });
    const stores = new Map(this.group.roots.map((root, k) => [root, `out${k}`]));
    return this.#generated(code, mapCode({ nodes, bindings: code, stores, count, inTurns: this.target.texelReads }));
  }

  #goOverRows(rows: RowShape): Dispatch {
    const { graph, stored } = this.fusion;
    const elements = rows.count * rows.width;
    const { texelReads } = this.target;
    const code = readAsTexels(this.#codeBindings(), { nodes: graph.nodes, target: this.target, loads: () => elements });
    const stores = new Map(this.group.roots.map((root, k) => [root, `out${k}`]));
    return this.#generated(code, rowCode({ graph, stored, rows, texelReads, bindings: code, stores }));
  }

  #reduce(reduction: number): Dispatch[] {
    const { nodes } = this.fusion.graph;
    const [root] = this.group.roots;
    const { inputs: [input], attributes, dtype } = nodes[reduction];
    const layout = layoutReduction(nodes[input].shape, attributes.axes as readonly number[]);
    const whole = { nodes, reduction, root, layout };
    const loop = readsOf(this.fusion.graph, this.fusion.stored, reduction);
    const loads = (node: number) => sizeOf(nodes[loop.has(node) ? input : root].shape);
    const code = readAsTexels(this.#codeBindings(), { nodes, target: this.target, loads });
    if (!this.memory.partials.has(this.index)) {
      return [this.#generated(code, reductionCode({ ...whole, bindings: code, stage: "whole" }))];
    }
    const after = this.#epilogueReads([reduction]);
    const reads = code.filter(({ access }) => access === "read").map((binding) => ({ ...binding, access: "read" as const }));
    const outputs = code.filter(({ access }) => access === "write").map((binding) => ({ ...binding, access: "write" as const }));
    const between = { node: -1, name: "partials", dtype: storedDtype(dtype, this.target) };
    const stages = [
      { stage: "first", bindings: [...reads.filter(({ node }) => loop.has(node)), { ...between, access: "write" }] },
      { stage: "second", bindings: [{ ...between, access: "read" }, ...reads.filter(({ node }) => after.has(node)), ...outputs] },
    ] as const;
    return stages.map(({ stage, bindings }) => this.#generated(bindings, reductionCode({ ...whole, bindings, stage })));
  }

  /** What the roots read besides nodes that are computed first. */
  #epilogueReads(first: readonly number[]): Set<number> {
    const { graph, stored } = this.fusion;
    const { roots } = this.group;
    const after = roots.filter((root) => !first.includes(root));
    return new Set(after.flatMap((root) => [...readsOf(graph, stored, root, first).keys()]));
  }

  #kernel(position: number, binding: KernelBinding): Dispatch[] {
    const { nodes } = this.fusion.graph;
    const [root] = this.group.roots;
    const node = nodes[position];
    const inputs = node.inputs.map((_, position) => kernelInput(nodes, node, position));
    const call = binding.call(inputs.map(({ view }) => view), node, node.attributes);
    const variants = binding.kernels.filter((kernel) => kernel.applies(call)).map((kernel) => ({
      kernel,
      suits: kernel.suits?.(call) ?? true,
    }));
    const [changed, ...others] = inputs.map(({ base }) => base);
    const bases = binding.overwrites ? others : [changed, ...others];
    const dispatch = this.picker.pick(variants, binding.shapeClass?.(call), ({ kernel }) => this.#stored(kernel, call, bases));
    if (!dispatch) {
      throw new RangeError(
        `Cannot compute ${node.op.name} of ${inputs.map(({ view }) => `[${view.shape}]`)}: no kernel takes these sizes`,
      );
    }
    const isThere = !binding.overwrites || this.memory.slotText(changed) === this.memory.slotText(root);
    return isThere ? [dispatch] : [copy(this.fusion, this.memory, this.target, changed, this.memory.slotOf.get(root)!), dispatch];
  }

  /** A stored shader as it is. */
  #stored(kernel: Kernel<unknown>, call: unknown, bases: readonly number[]): Dispatch {
    const [root] = this.group.roots;
    const texels = kernel.texels?.(call);
    const operands = bases.map((base, position): Binding => ({
      slot: this.memory.slotOf.get(base)!,
      access: "read",
      ...(texels && { texels: texels[position] }),
    }));
    const output = { slot: this.memory.slotOf.get(root)!, access: "write" } as const;
    const text = kernel.text?.(call) ?? kernel.source;
    return this.#dispatch({
      label: kernel.name,
      ...this.group.products
        ? this.#goingOn(this.group.products, { text, storesQuads: false, operands })
        : { shader: text, bindings: [...operands, output] },
      overrides: kernel.overrides(call),
      params: kernel.params(call),
      grid: kernel.grid(call, this.target.limits),
    });
  }
}
