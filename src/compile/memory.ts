/**
 * Memory plan: which buffer holds which node, and which buffers are used again once their nodes are dead.
 *
 * @module
 */

import { heldBytes, type Program, type ProgramBytes, type ProgramOutput, type Slot } from "../core/program.ts";
import { textureBytes, textureLines } from "../core/texels.ts";
import { layoutReduction } from "./reduction_code.ts";
import { type Fusion, type Group, kernelInput, readsOf } from "./groups.ts";

/** Buffers of a program. */
export interface Memory {
  readonly slotOf: ReadonlyMap<number, Slot>;
  readonly scratchBytes: readonly number[];
  readonly outputs: readonly ProgramOutput[];
  /** Outputs that are inputs, or the same node as another output. */
  readonly copies: readonly { readonly node: number; readonly slot: Slot }[];
  /** Partial results of split reductions, by group. */
  readonly partials: ReadonlyMap<number, Slot>;
  /** Text that is equal where two nodes share a buffer. */
  slotText(node: number): string;
}

/** Groups that read each node, and how. */
interface Uses {
  /** Last group that reads a node. */
  readonly last: Map<number, number>;
  /** For each group the nodes that it reads, and whether only at the element being computed. */
  readonly reads: readonly Map<number, boolean>[];
}

function usesOf({ graph, stored, groups }: Fusion): Uses {
  const last = new Map<number, number>();
  const reads = groups.map(({ roots }, index) => {
    const merged = new Map<number, boolean>();
    for (const root of roots) {
      for (const [node, aligned] of readsOf(graph, stored, root)) {
        if (roots.includes(node)) continue;
        merged.set(node, (merged.get(node) ?? true) && aligned);
        last.set(node, index);
      }
    }
    return merged;
  });
  return { last, reads };
}

/** How long some bytes are needed: from the group that writes them to the last one that reads them. */
interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  last: number;
}

/**
 * Scratch buffers for lifetimes, and which of them each takes. The longest buffers are placed first, each where no other one lives at the
 * time, so that every buffer is as long as its first tenant.
 */
function placeLifetimes(lifetimes: readonly Lifetime[]): { bytes: number[]; slotOf: ReadonlyMap<Lifetime, number> } {
  const slots: { readonly bytes: number; readonly tenants: Tenants }[] = [];
  const slotOf = new Map<Lifetime, number>();
  for (const lifetime of lifetimes.toSorted((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    let slot = slots.findLastIndex(({ tenants }) => tenants.add(lifetime)); // the shortest: they were made from long to short
    if (slot < 0) {
      slot = slots.push({ bytes: lifetime.bytes, tenants: new Tenants() }) - 1;
      slots[slot].tenants.add(lifetime);
    }
    slotOf.set(lifetime, slot);
  }
  return { bytes: slots.map(({ bytes }) => bytes), slotOf };
}

/** Lifetimes of which no two overlap, in order. */
class Tenants {
  readonly #list: Lifetime[] = [];

  /** Takes one more, unless another lives at the time. */
  add(lifetime: Lifetime): boolean {
    let [from, to] = [0, this.#list.length]; // those before `from` end before it begins
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#list[middle].last < lifetime.first) from = middle + 1;
      else to = middle;
    }
    if (this.#list[from]?.first <= lifetime.last) return false;
    this.#list.splice(from, 0, lifetime);
    return true;
  }
}

/** Whether each invocation reads what is stored at its elements before it stores there; side by side, others may be ahead of it. */
const isMap = ({ graph }: Fusion, { roots, reduction, rows, products = [] }: Group) =>
  reduction === undefined && !rows && products.length <= 1 && !["kernel", "fused"].includes(graph.nodes[roots[0]].op.kind);

/** Whether the kernel of a group changes parts of this node, and reads it for nothing else. */
function overwrites({ graph: { nodes } }: Fusion, { roots }: Group, changed: number): boolean {
  const node = nodes[roots[0]];
  if (node.op.kind !== "fused" || !node.op.binding.overwrites) return false;
  const bases = node.inputs.map((_, position) => kernelInput(nodes, node, position).base);
  return bases.indexOf(changed) === 0 && bases.lastIndexOf(changed) === 0;
}

/**
 * Finds for each output a donated input whose memory it can take over: same size, and nobody reads the input later. What a kernel
 * reads and would overwrite in place comes first, then what is dead by then.
 */
function chooseDonors(
  fusion: Fusion,
  uses: Uses,
  bytesOf: (node: number) => number,
  owners: ReadonlyMap<number, number>,
): Map<number, number> {
  const { graph, groups } = fusion;
  const { nodes, leaves } = graph;
  const donors = new Map<number, number>();
  const free = new Set([...graph.donated].filter((index) => !graph.outputs.includes(leaves[index])));
  const groupOf = new Map(groups.flatMap(({ roots }, index) => roots.map((root) => [root, index] as const)));
  const choose = (fits: (leaf: number, index: number, node: number) => boolean) => {
    for (const [node, output] of owners) {
      if (donors.has(output)) continue;
      const index = groupOf.get(node)!;
      const donor = [...free].find((each) => bytesOf(leaves[each]) === bytesOf(node) && fits(leaves[each], index, node));
      if (donor === undefined) continue;
      free.delete(donor);
      donors.set(output, donor);
    }
  };
  choose((leaf, index, node) =>
    uses.last.get(leaf) === index && nodes[leaf].dtype === nodes[node].dtype &&
    (isMap(fusion, groups[index]) && uses.reads[index].get(leaf) === true || overwrites(fusion, groups[index], leaf))
  );
  choose((leaf, index) => (uses.last.get(leaf) ?? -1) < index);
  return donors;
}

/** Gives each group scratch buffers: for what it stores beyond the outputs, and for the parts of a reduction. */
function planScratch(
  fusion: Fusion,
  uses: Uses,
  bytesOf: (node: number) => number,
  slotOf: Map<number, Slot>,
): { bytes: readonly number[]; partials: Map<number, Slot> } {
  const { graph, groups } = fusion;
  const lifetimes = new Map<number, Lifetime>();
  const parts = new Map<number, Lifetime>();
  groups.forEach((group, index) => {
    const { roots, reduction } = group;
    const reads = uses.reads[index];
    const taken = new Set<number>();
    /** Whether `root` may be written over an intermediate that the kernel reads last. */
    const canReplace = (node: number, root: number) =>
      uses.last.get(node) === index && lifetimes.has(node) && !taken.has(node) && reads.get(node) === true &&
      bytesOf(node) === bytesOf(root) &&
      graph.nodes[node].dtype === graph.nodes[root].dtype;
    for (const root of roots) {
      if (slotOf.has(root)) continue;
      const last = uses.last.get(root) ?? index;
      const replaced = isMap(fusion, group) ? [...reads.keys()].find((node) => canReplace(node, root)) : undefined;
      const lifetime = replaced === undefined ? { bytes: bytesOf(root), first: index, last } : lifetimes.get(replaced)!;
      lifetime.last = last;
      lifetimes.set(root, lifetime);
      if (replaced !== undefined) taken.add(replaced);
    }
    const count = reduction === undefined ? 1 : partsOf(fusion, reduction);
    if (count > 1) parts.set(index, { bytes: bytesOf(reduction!) * count, first: index, last: index });
  });
  const placed = placeLifetimes([...new Set(lifetimes.values()), ...parts.values()]);
  const slot = (lifetime: Lifetime): Slot => ({ kind: "scratch", index: placed.slotOf.get(lifetime)! });
  for (const [node, lifetime] of lifetimes) slotOf.set(node, slot(lifetime));
  return { bytes: placed.bytes, partials: new Map([...parts].map(([index, lifetime]) => [index, slot(lifetime)])) };
}

/** Plans the memory of fused groups, in their order. */
export function planMemory(fusion: Fusion, bytesOf: (node: number) => number): Memory {
  const { graph } = fusion;
  const uses = usesOf(fusion);
  const slotOf = new Map<number, Slot>(graph.leaves.map((node, index) => [node, { kind: "input", index }]));
  const owners = new Map<number, number>();
  const copies: { node: number; slot: Slot }[] = [];
  graph.outputs.forEach((node, index) => {
    if (slotOf.has(node)) copies.push({ node, slot: { kind: "output", index } });
    else {
      owners.set(node, index);
      slotOf.set(node, { kind: "output", index });
    }
  });
  const { bytes: scratchBytes, partials } = planScratch(fusion, uses, bytesOf, slotOf);
  const donors = chooseDonors(fusion, uses, bytesOf, owners);
  const buffers = new Map([...donors].map(([output, donor]) => [output, donor]));
  return {
    slotOf,
    scratchBytes,
    copies,
    partials,
    outputs: graph.outputs.map((node, index) => ({
      bytes: bytesOf(node),
      ...(donors.has(index) ? { donor: donors.get(index)! } : {}),
    })),
    slotText(node) {
      const slot = slotOf.get(node)!;
      const donor = slot.kind === "output" ? buffers.get(slot.index) : undefined;
      return donor === undefined ? `${slot.kind}${slot.index}` : `input${donor}`;
    },
  };
}

/** How many invocations share each output of a reduction. */
function partsOf({ graph }: Fusion, reduction: number): number {
  const { inputs: [input], attributes } = graph.nodes[reduction];
  return layoutReduction(graph.nodes[input].shape, attributes.axes as readonly number[]).parts;
}

/** What a program needs of a device's memory. */
export function programBytes({ inputBytes, outputs, scratchBytes, dispatches }: Program): ProgramBytes {
  const held = (list: readonly number[]) => list.reduce((sum, bytes) => sum + heldBytes(bytes), 0);
  const own = outputs.filter(({ donor }) => donor === undefined).map(({ bytes }) => bytes);
  const textures = textureLines(dispatches).reduce((sum, lines) => sum + textureBytes(lines), 0);
  const parts = { arguments: held(inputBytes), results: held(own), scratch: held(scratchBytes), textures };
  return { ...parts, total: parts.arguments + parts.results + parts.scratch + textures };
}
