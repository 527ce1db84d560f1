/**
 * Third stage: which nodes get memory, and which are computed together in one kernel.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { placeEarly } from "./early.ts";
import { joinMaps, joinSinks } from "./horizontal.ts";
import { mergeGroups } from "./merge.ts";
import { type Fusion, type Group, kernelInput, readsOf } from "./groups.ts";
import { absorbProducts, joinProducts } from "./products.ts";
import { joinRows } from "./row_groups.ts";
import { windowOf } from "./strided.ts";

/** Longest path of nodes computed in place: longer expressions are cut, as drivers take long to compile them. */
const maxDepth = 256;
/** Highest price (in additions) of an expression that is computed again in each kernel that uses it, rather than stored. */
const maxRepeatedCost = 20;
/** The same for an expression that a broadcast would repeat within one kernel. */
const maxBroadcastCost = 2;

/** Whether each node has memory in any case. */
export function mandatory({ nodes, outputs }: Graph): boolean[] {
  const stored = nodes.map(({ op }) =>
    op.kind === "leaf" || op.kind === "reduction" || op.kind === "kernel" || op.kind === "fused"
  );
  for (const output of outputs) stored[output] = true;
  for (const node of nodes) {
    if (node.op.kind === "kernel" || node.op.kind === "fused") {
      node.inputs.forEach((_, position) => stored[kernelInput(nodes, node, position).base] = true);
    }
    if (node.op.kind === "gather") stored[windowOf(nodes, node.inputs[0]).base] = true;
  }
  return stored;
}

/** Price of computing each node in place, and the large stored nodes that it reads. */
function prices(nodes: readonly FlatNode[], stored: readonly boolean[]): { cost: number[]; loads: Set<number>[] } {
  const cost: number[] = [];
  const loads: Set<number>[] = [];
  nodes.forEach((node, position) => {
    const own = node.op.kind === "elementwise" ? node.op.cost : node.op.kind === "gather" ? 4 : 0;
    const size = sizeOf(node.shape);
    cost[position] = own;
    loads[position] = new Set();
    for (const input of stored[position] && node.op.kind !== "elementwise" ? [] : node.inputs) {
      const direct = stored[input];
      cost[position] = Math.min(1e6, cost[position] + (direct ? 1 : cost[input]));
      for (const load of direct ? [input] : loads[input]) if (sizeOf(nodes[load].shape) * 4 > size) loads[position].add(load);
    }
  });
  return { cost, loads };
}

/** Stores what several kernels need and what a broadcast would repeat, unless computing it again is cheap. */
function storeShared({ nodes }: Graph, stored: boolean[]): void {
  const { cost, loads } = prices(nodes, stored);
  const users = nodes.map(() => new Set<number>());
  const repeats = nodes.map(() => 1);
  for (let position = nodes.length - 1; position >= 0; position--) {
    const node = nodes[position];
    const inlined = node.op.kind === "elementwise" || node.op.kind === "gather";
    const isAlias = node.op.kind === "elementwise" && node.op.isAlias;
    if (inlined && !isAlias && !stored[position]) {
      const shared = users[position].size > 1 && (cost[position] > maxRepeatedCost || loads[position].size > 1);
      const repeated = repeats[position] > 1 && cost[position] > maxBroadcastCost;
      stored[position] = shared || repeated;
    }
    const isRoot = stored[position];
    for (const input of node.inputs) {
      for (const user of isRoot ? [position] : users[position]) users[input].add(user);
      const grows = node.op.kind === "view" || node.op.kind === "gather";
      const factor = grows ? Math.max(1, sizeOf(node.shape) / Math.max(1, sizeOf(nodes[input].shape))) : 1;
      repeats[input] = Math.max(repeats[input], (isRoot ? 1 : repeats[position]) * factor);
    }
  }
}

/** Stores results within very long chains, and tells which. */
function storeDeep({ nodes }: Graph, stored: boolean[]): number[] {
  const depth: number[] = [];
  const cuts: number[] = [];
  nodes.forEach((node, position) => {
    depth[position] = 1 + node.inputs.reduce((deepest, input) => stored[input] ? deepest : Math.max(deepest, depth[input]), 0);
    if (depth[position] < maxDepth || node.op.kind !== "elementwise") return;
    stored[position] = true;
    cuts.push(position);
  });
  return cuts;
}

/** Stores parts of expressions that read more buffers than one shader may bind. */
function storeWide({ nodes }: Graph, stored: boolean[], maxLoads: number): void {
  const reads: Set<number>[] = [];
  nodes.forEach((node, position) => {
    const collect = () => new Set(node.inputs.flatMap((input) => stored[input] ? [input] : [...reads[input]]));
    reads[position] = collect();
    while (node.op.kind === "elementwise" && reads[position].size > maxLoads) {
      const widest = node.inputs.filter((input) => !stored[input]).sort((a, b) => reads[b].size - reads[a].size)[0];
      if (widest === undefined) break;
      stored[widest] = true;
      reads[position] = collect();
    }
  });
}

/** The reduction that a stored expression continues element by element, if the two can share a kernel. */
function continuedReduction(
  graph: Graph,
  stored: readonly boolean[],
  root: number,
  { userCount, maxBuffers }: { userCount: readonly number[]; maxBuffers: number },
): number | undefined {
  const { nodes, outputs } = graph;
  if (nodes[root].op.kind !== "elementwise") return undefined;
  const size = sizeOf(nodes[root].shape);
  const reads = readsOf(graph, stored, root);
  for (const [position, aligned] of reads) {
    const fits = aligned && nodes[position].op.kind === "reduction" && sizeOf(nodes[position].shape) === size;
    if (!fits || userCount[position] !== 1 || outputs.includes(position)) continue;
    const buffers = new Set([...reads.keys(), ...readsOf(graph, stored, position).keys()]); // the output in place of the reduction
    if (buffers.size <= maxBuffers) return position;
  }
  return undefined;
}

function countUsers(graph: Graph, stored: readonly boolean[], roots: readonly number[]): number[] {
  const count = graph.nodes.map(() => 0);
  for (const root of roots) for (const position of readsOf(graph, stored, root).keys()) count[position]++;
  return count;
}

/** Settings of `fuse`. */
export interface FuseOptions {
  /** The most buffers that one shader may bind. */
  readonly maxBuffers: number;
  /** Whether independent matrix products of one layout share kernels, and independent small kernels of one size. */
  readonly sideBySide: boolean;
  /** Whether textures are read sooner than buffers. */
  readonly texelReads: boolean;
}

/** Decides what is stored and groups it into kernels. */
export function fuse(graph: Graph, { maxBuffers, sideBySide, texelReads }: FuseOptions): Fusion {
  const stored = mandatory(graph);
  const cuts = storeDeep(graph, stored);
  storeShared(graph, stored);
  storeWide(graph, stored, maxBuffers - 2);
  const roots = graph.nodes.flatMap((node, position) => stored[position] && node.op.kind !== "leaf" ? [position] : []);
  const userCount = countUsers(graph, stored, roots);
  const absorbed = new Map<number, number>();
  for (const root of roots) {
    const reduction = continuedReduction(graph, stored, root, { userCount, maxBuffers });
    if (reduction !== undefined) absorbed.set(root, reduction);
  }
  for (const reduction of absorbed.values()) stored[reduction] = false;
  const groups = roots.filter((root) => stored[root]).map((root): Group => {
    const reduction = graph.nodes[root].op.kind === "reduction" ? root : absorbed.get(root);
    return reduction === undefined ? { roots: [root] } : { roots: [root], reduction };
  });
  const merged = dropPrivate({ graph, stored, groups: mergeGroups(graph, stored, groups, maxBuffers) }, cuts);
  const began = absorbProducts(merged, { maxBuffers, texelReads });
  const joined = dropPrivate(joinRows(began, { maxBuffers, texelReads, cuts }), cuts);
  const shared = sideBySide ? dropPrivate(joinMaps(joinProducts(joined, maxBuffers), maxBuffers), cuts) : joined;
  return placeEarly(joinSinks(shared, maxBuffers));
}

/** Takes the memory from nodes that only their own kernel uses, as merging leaves them, but for the `cuts` in long chains. */
function dropPrivate({ graph, stored, groups }: Fusion, cuts: readonly number[]): Fusion {
  const wanted = new Set([...graph.outputs, ...cuts]);
  groups.forEach(({ roots }) => {
    for (const root of roots) {
      for (const node of readsOf(graph, stored, root).keys()) if (!roots.includes(node)) wanted.add(node);
    }
  });
  const kept = stored.map((isStored, node) => isStored && (graph.nodes[node].op.kind === "leaf" || wanted.has(node)));
  const needed = groups.map((group) => ({ ...group, roots: group.roots.filter((root) => kept[root]) })).filter(({ roots }) =>
    roots.length > 0
  );
  return { graph, stored: kept, groups: needed };
}
