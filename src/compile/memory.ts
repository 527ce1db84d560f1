/**
 * Memory plan: which buffer holds which node, and which buffers are used again once their nodes are dead.
 *
 * @module
 */

import { heldBytes, type Program, type ProgramBytes, type ProgramOutput, type Slot } from "../core/program.ts";
import { textureBytes, textureLines } from "../core/texels.ts";
import { layoutReduction } from "./reduction_code.ts";
import { type Fusion, type Group, readsOf } from "./groups.ts";

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

/** Bytes of a buffer that may always lie idle while a smaller tensor is in it. */
const mostIdle = 2 ** 16;

/** Scratch buffers by lifetime: a freed one is used again, grown if need be, unless most of it would lie idle. */
class Scratch {
  readonly bytes: number[] = [];
  readonly #free: number[] = [];

  take(bytes: number): number {
    const waste = (slot: number) => this.bytes[slot] >= bytes ? this.bytes[slot] - bytes : 2 * (bytes - this.bytes[slot]);
    const best = this.#free.reduce<number | undefined>((a, b) => a === undefined || waste(b) < waste(a) ? b : a, undefined);
    const idle = best === undefined ? 0 : this.bytes[best] - bytes;
    if (best === undefined || idle > Math.max(bytes, mostIdle)) return this.bytes.push(bytes) - 1;
    this.#free.splice(this.#free.indexOf(best), 1);
    this.bytes[best] = Math.max(this.bytes[best], bytes);
    return best;
  }
  give(slot: number): void {
    this.#free.push(slot);
  }
}

const isMap = ({ graph }: Fusion, { roots, reduction }: Group) =>
  reduction === undefined && !["kernel", "fused"].includes(graph.nodes[roots[0]].op.kind);

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
    isMap(fusion, groups[index]) && uses.last.get(leaf) === index && uses.reads[index].get(leaf) === true &&
    nodes[leaf].dtype === nodes[node].dtype
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
  const scratch = new Scratch();
  const partials = new Map<number, Slot>();
  /** Whether a kernel may write `root` over an intermediate that it reads last. */
  const canReplace = (node: number, root: number, reads: ReadonlyMap<number, boolean>) =>
    slotOf.get(node)!.kind === "scratch" && reads.get(node) === true && bytesOf(node) === bytesOf(root) &&
    graph.nodes[node].dtype === graph.nodes[root].dtype;
  groups.forEach((group, index) => {
    const { roots, reduction } = group;
    const reads = uses.reads[index];
    const dead = new Set([...reads.keys()].filter((node) => uses.last.get(node) === index));
    for (const root of roots) {
      if (slotOf.has(root)) continue;
      const replaced = isMap(fusion, group) ? [...dead].find((node) => canReplace(node, root, reads)) : undefined;
      slotOf.set(root, replaced === undefined ? { kind: "scratch", index: scratch.take(bytesOf(root)) } : slotOf.get(replaced)!);
      if (replaced !== undefined) dead.delete(replaced);
    }
    for (const root of roots) if (!uses.last.has(root)) dead.add(root);
    const parts = reduction === undefined ? 1 : partsOf(fusion, reduction);
    if (parts > 1) {
      const slot = scratch.take(bytesOf(reduction!) * parts);
      partials.set(index, { kind: "scratch", index: slot });
      scratch.give(slot);
    }
    for (const node of dead) {
      const slot = slotOf.get(node)!;
      if (slot.kind === "scratch") scratch.give(slot.index);
    }
  });
  return { bytes: scratch.bytes, partials };
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
