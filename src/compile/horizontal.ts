/**
 * Kernels of one size that have nothing to do with each other, side by side in one: the updates of all parameters of one shape, say.
 * Each invocation computes its elements of all of them, so that a launch and its barrier are paid once.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import { sizeOf } from "../core/shape.ts";
import { type Fusion, type Group, isMap, readsOf } from "./groups.ts";
import { GroupJoiner } from "./joining.ts";

/** Most bindings of one such kernel, where a device has more: what drivers do for each binding costs more than a launch. */
const mostBuffers = 32;

/** Most elements of kernels that wait for others, to run side by side with them: larger ones keep a device busy alone. */
const mostShared = 2 ** 18;

/** Several groups that become one. */
interface Bundle {
  readonly roots: number[];
  readonly nodes: Set<number>;
  overwritten: number;
}

/** What some nodes read, and whether at the element being computed alone. */
function readsOfAll({ graph, stored }: Fusion, roots: readonly number[]): Map<number, boolean> {
  const own = roots.map((root) => readsOf(graph, stored, root));
  const nodes = new Set(own.flatMap((each) => [...each.keys()]));
  return new Map([...nodes].map((node) => [node, own.every((each) => each.get(node) ?? true)]));
}

/** Whether what may be overwritten is read at the element being computed alone. */
function keepsOverwriting(
  { graph: { nodes, donated } }: Fusion,
  roots: readonly number[],
  reads: ReadonlyMap<number, boolean>,
): boolean {
  const size = sizeOf(nodes[roots[0]].shape);
  const isOverwritten = (node: number) => donated.has(nodes[node].leaf ?? -1) && sizeOf(nodes[node].shape) >= size;
  return [...reads].every(([node, aligned]) => aligned || !isOverwritten(node));
}

/** Whether nobody reads the results, and what may be overwritten is read at the element being computed alone. */
function isSink(
  fusion: Fusion,
  group: Group,
  reads: ReadonlyMap<number, boolean>,
  read: ReadonlyMap<number, number>,
): boolean {
  return isMap(fusion, group) && !group.roots.some((root) => read.has(root)) && keepsOverwriting(fusion, group.roots, reads);
}

/** How many results surely take over the memory of donated inputs that they are made of: those pairs share a binding. */
function overwrittenBy({ graph }: Fusion, roots: readonly number[], freed: readonly number[]): number {
  const { nodes, donated, outputs } = graph;
  const size = sizeOf(nodes[roots[0]].shape);
  const given = freed.filter((node) =>
    donated.has(nodes[node].leaf ?? -1) && sizeOf(nodes[node].shape) === size && !outputs.includes(node)
  );
  const count = (list: readonly number[], dtype: DType) => list.filter((node) => nodes[node].dtype === dtype).length;
  const dtypes = new Set(roots.map((root) => nodes[root].dtype));
  return [...dtypes].reduce((sum, dtype) => sum + Math.min(count(roots, dtype), count(given, dtype)), 0);
}

/**
 * Joins elementwise groups whose results no other group reads, as many as one shader may bind. They move to where the last of them
 * stood, so that a parameter is still overwritten after its last reader. Large ones stay apart, to free what they read. Only where inputs
 * are donated: elsewhere sinks run early already.
 */
export function joinSinks(fusion: Fusion, maxBuffers: number): Fusion {
  const { graph, stored, groups } = fusion;
  if (graph.donated.size === 0) return fusion;
  const reads = groups.map(({ roots }) => {
    const all = readsOfAll(fusion, roots);
    roots.forEach((root) => all.delete(root));
    return all;
  });
  const last = new Map(reads.flatMap((each, index) => [...each.keys()].map((node) => [node, index])));
  const open = new Map<number, Bundle>(); // the one of each size that is not full
  const ordered = new Set<Group | Bundle>();
  groups.forEach((group, index) => {
    const size = sizeOf(graph.nodes[group.roots[0]].shape);
    if (size > mostShared || !isSink(fusion, group, reads[index], last)) return void ordered.add(group);
    const nodes = [...reads[index].keys(), ...group.roots];
    const freed = [...reads[index]].flatMap(([node, aligned]) => aligned && last.get(node) === index ? [node] : []);
    const overwritten = overwrittenBy(fusion, group.roots, freed);
    const bundle = open.get(size);
    const bound = bundle && new Set([...bundle.nodes, ...nodes]).size - bundle.overwritten - overwritten;
    const home: Bundle = bundle && bound! <= Math.min(maxBuffers, mostBuffers)
      ? bundle
      : { roots: [], nodes: new Set(), overwritten: 0 };
    home.roots.push(...group.roots);
    home.overwritten += overwritten;
    for (const node of nodes) home.nodes.add(node);
    open.set(size, home);
    ordered.delete(home); // to the end
    ordered.add(home);
  });
  const joined = [...ordered].map((group): Group => "nodes" in group ? { roots: group.roots.sort((a, b) => a - b) } : group);
  return { graph, stored, groups: joined };
}

/** Joins elementwise groups of one size whose results others read, as many as a shader may bind, where neither has to wait for the other. */
export function joinMaps(fusion: Fusion, maxBuffers: number): Fusion {
  const { nodes } = fusion.graph;
  const isSmallMap = (group: Group) => isMap(fusion, group) && sizeOf(nodes[group.roots[0]].shape) <= mostShared;
  return new GroupJoiner(fusion).run((a, b, joiner) => {
    if (!isSmallMap(a) || !isSmallMap(b) || sizeOf(nodes[a.roots[0]].shape) !== sizeOf(nodes[b.roots[0]].shape)) return undefined;
    if (![a, b].every((group) => group.roots.some((root) => joiner.isRead(root)))) return undefined;
    const roots = [...a.roots, ...b.roots].sort((m, n) => m - n);
    const read = new Set([...joiner.reads(a), ...joiner.reads(b)]);
    if (read.union(new Set(roots)).size > Math.min(maxBuffers, mostBuffers)) return undefined;
    if (read.values().some((node) => sizeOf(nodes[node].shape) > mostShared)) return undefined; // may have to wait for it
    const reads = readsOfAll(fusion, roots);
    return keepsOverwriting(fusion, roots, reads) && roots.every((root) => reads.get(root) !== false) ? { roots } : undefined;
  });
}
