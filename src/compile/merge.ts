/**
 * Joins kernels that read the same data into one that stores several results, and orders the kernels.
 *
 * @module
 */

import type { Graph } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { type Group, readsOf } from "./groups.ts";

interface Vertex {
  group: Group;
  /** Stored nodes read, and whether only at the element being computed. */
  reads: Map<number, boolean>;
  readonly size: number;
}

/** Whether `from` must run before `to` because of vertices other than the two. */
function connectedOutside(from: Vertex, to: Vertex, producers: ReadonlyMap<number, Vertex>): boolean {
  const seen = new Set<Vertex>([to]);
  const stack = [...to.reads.keys()].map((node) => producers.get(node)).filter((vertex) => vertex && vertex !== from) as Vertex[];
  while (stack.length > 0) {
    const vertex = stack.pop()!;
    if (vertex === from) return true;
    if (seen.has(vertex)) continue;
    seen.add(vertex);
    for (const node of vertex.reads.keys()) {
      const producer = producers.get(node);
      if (producer) stack.push(producer);
    }
  }
  return false;
}

function mergeable(a: Vertex, b: Vertex, maxBuffers: number): boolean {
  if (a.size !== b.size || a.group.reduction !== undefined || b.group.reduction !== undefined) return false;
  const misaligned = a.group.roots.some((root) => b.reads.get(root) === false) ||
    b.group.roots.some((root) => a.reads.get(root) === false);
  const buffers = new Set([...a.reads.keys(), ...b.reads.keys(), ...a.group.roots, ...b.group.roots]);
  return !misaligned && buffers.size <= maxBuffers;
}

function join(a: Vertex, b: Vertex): void {
  const roots = [...a.group.roots, ...b.group.roots].sort((m, n) => m - n);
  for (const [node, aligned] of b.reads) a.reads.set(node, (a.reads.get(node) ?? true) && aligned);
  for (const root of roots) a.reads.delete(root);
  a.group = { roots };
}

/** Runs sinks last, so that a parameter is overwritten after its last reader; otherwise keeps the order of the nodes. */
function order(vertices: readonly Vertex[], producers: ReadonlyMap<number, Vertex>): Vertex[] {
  const consumed = new Set<Vertex>();
  for (const vertex of vertices) {
    for (const node of vertex.reads.keys()) {
      const producer = producers.get(node);
      if (producer) consumed.add(producer);
    }
  }
  const done = new Set<Vertex>();
  const ordered: Vertex[] = [];
  const visit = (vertex: Vertex): void => {
    if (done.has(vertex)) return;
    done.add(vertex);
    for (const node of vertex.reads.keys()) {
      const producer = producers.get(node);
      if (producer) visit(producer);
    }
    ordered.push(vertex);
  };
  for (const vertex of vertices) if (consumed.has(vertex)) visit(vertex);
  for (const vertex of vertices) visit(vertex);
  return ordered;
}

/** Merges elementwise groups of one size that share a large input or feed each other, where no kernel has to run between them. */
export function mergeGroups(graph: Graph, stored: readonly boolean[], groups: readonly Group[], maxBuffers: number): Group[] {
  const { nodes } = graph;
  const isMap = (group: Group) => !["kernel", "fused", "reduction"].includes(nodes[group.roots[0]].op.kind);
  const producers = new Map<number, Vertex>();
  const alignedReaders = new Map<number, Set<Vertex>>();
  const vertices = new Set<Vertex>();
  for (const group of groups) {
    const [root] = group.roots;
    const vertex: Vertex = { group, reads: readsOf(graph, stored, root), size: sizeOf(nodes[root].shape) };
    const aligned = [...vertex.reads].filter(([node, isAligned]) => isAligned && sizeOf(nodes[node].shape) === vertex.size).map((
      [node],
    ) => node);
    const candidates = new Set(
      aligned.flatMap((node) => [...(producers.has(node) ? [producers.get(node)!] : []), ...alignedReaders.get(node) ?? []]),
    );
    let home = vertex;
    for (const candidate of isMap(group) ? candidates : []) {
      const fits = vertices.has(candidate) && isMap(candidate.group) && mergeable(candidate, vertex, maxBuffers);
      if (!fits || connectedOutside(candidate, vertex, producers)) continue;
      join(candidate, vertex);
      home = candidate;
      break;
    }
    vertices.add(home);
    for (const stored of home.group.roots) producers.set(stored, home);
    for (const node of aligned) alignedReaders.set(node, (alignedReaders.get(node) ?? new Set()).add(home));
  }
  return order([...vertices], producers).map(({ group }) => group);
}
