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
  /** Above the levels of all whose results it reads. */
  level: number;
  /** Vertices that read what it stores. */
  readonly users: Set<Vertex>;
}

type Producers = ReadonlyMap<number, Vertex>;

const verticesBefore = ({ reads }: Vertex, producers: Producers): Vertex[] =>
  [...reads.keys()].flatMap((node) => producers.get(node) ?? []);

/** Sets the level of a vertex whose reads have changed, and of those behind it that have to be above it. */
function settle(vertex: Vertex, producers: Producers): void {
  const inputs = verticesBefore(vertex, producers);
  for (const input of inputs) input.users.add(vertex);
  vertex.level = inputs.reduce((level, input) => Math.max(level, input.level + 1), vertex.level);
  const raised = [vertex];
  for (let each = raised.pop(); each; each = raised.pop()) {
    for (const user of each.users) {
      if (user.level > each.level) continue;
      user.level = each.level + 1;
      raised.push(user);
    }
  }
}

/** Whether `from` must run before `to` because of vertices other than the two. */
function connectedOutside(from: Vertex, to: Vertex, producers: Producers): boolean {
  const seen = new Set<Vertex>([to]);
  const stack = verticesBefore(to, producers).filter((vertex) => vertex !== from);
  while (stack.length > 0) {
    const vertex = stack.pop()!;
    if (vertex === from) return true;
    if (seen.has(vertex) || vertex.level <= from.level) continue;
    seen.add(vertex);
    stack.push(...verticesBefore(vertex, producers));
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

/** How many of the vertices that read a node are tried with another one that does: those that came last. */
const mostTried = 16;

/** Most elements of a tensor that costs nothing to keep, or to read twice. */
const smallSize = 1024;

/**
 * An order that keeps little memory alive. What only sinks need, such as gradients of weights, runs as soon as the results that it is
 * made from are there, and small results come before large ones. Where inputs are donated, sinks run last, so that a parameter is
 * overwritten after its last reader.
 */
function order(vertices: readonly Vertex[], producers: Producers, sinksLast: boolean): Vertex[] {
  const inputsOf = new Map(vertices.map((vertex) => [vertex, verticesBefore(vertex, producers)]));
  const depths = new Map<Vertex, number>();
  const consumers = new Map(vertices.map((vertex) => [vertex, [] as Vertex[]]));
  for (const vertex of postorder(vertices, inputsOf)) {
    const inputs = inputsOf.get(vertex)!;
    depths.set(vertex, 1 + inputs.reduce((deepest, input) => Math.max(deepest, depths.get(input)!), 0));
    for (const input of inputs) consumers.get(input)!.push(vertex);
  }
  const byDepth = (list: readonly Vertex[]) => [...list].sort((a, b) => depths.get(a)! - depths.get(b)!);
  for (const [vertex, inputs] of inputsOf) {
    const isSmall = ({ size }: Vertex) => size <= smallSize;
    inputsOf.set(vertex, [...byDepth(inputs.filter(isSmall)), ...inputs.filter((input) => !isSmall(input))]);
  }
  const isSink = (vertex: Vertex) => consumers.get(vertex)!.length === 0;
  // a norm of gradients, say, is small, and waits for all of them: what it is made from need not wait for each other
  const ends = (vertex: Vertex) => isSink(vertex) || vertex.size <= smallSize;
  const endsAt = (vertex: Vertex) => ends(vertex) || consumers.get(vertex)!.every(isSink); // moments, which parameters are made from
  const isLate = (vertex: Vertex) =>
    isSink(vertex) ? !sinksLast : vertex.size > smallSize && consumers.get(vertex)!.every(endsAt);
  return postorder([...byDepth(vertices.filter(isLate)), ...vertices], inputsOf);
}

/** Vertices with their inputs before them, otherwise in the order of `roots`. Chains may be long, so nothing calls itself. */
function postorder(roots: readonly Vertex[], inputsOf: ReadonlyMap<Vertex, readonly Vertex[]>): Vertex[] {
  const seen = new Set<Vertex>();
  const ordered: Vertex[] = [];
  for (const root of roots) {
    const path = [{ vertex: root, next: 0 }];
    while (path.length > 0) {
      const place = path[path.length - 1];
      const { vertex } = place;
      if (place.next === 0 && seen.has(vertex)) {
        path.pop();
        continue;
      }
      seen.add(vertex);
      const inputs = inputsOf.get(vertex)!;
      if (place.next < inputs.length) path.push({ vertex: inputs[place.next++], next: 0 });
      else {
        ordered.push(vertex);
        path.pop();
      }
    }
  }
  return ordered;
}

/** Merges elementwise groups of one size that share a large input or feed each other, where no kernel has to run between them. */
export function mergeGroups(graph: Graph, stored: readonly boolean[], groups: readonly Group[], maxBuffers: number): Group[] {
  const { nodes } = graph;
  const isMap = (group: Group) => !["kernel", "fused", "reduction"].includes(nodes[group.roots[0]].op.kind);
  const producers = new Map<number, Vertex>();
  const readers = new Map<number, Set<Vertex>>();
  const vertices = new Set<Vertex>();
  for (const group of groups) {
    const [root] = group.roots;
    const reads = readsOf(graph, stored, root);
    const vertex: Vertex = { group, reads, size: sizeOf(nodes[root].shape), level: 0, users: new Set() };
    const shared = [...vertex.reads].flatMap(([node, isAligned]) => {
      const size = sizeOf(nodes[node].shape);
      return isAligned && size === vertex.size || size > smallSize ? [node] : [];
    });
    const candidates = new Set(
      shared.flatMap((node) => [...(producers.has(node) ? [producers.get(node)!] : []), ...readers.get(node) ?? []]),
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
    settle(home, producers);
    for (const stored of home.group.roots) producers.set(stored, home);
    for (const node of shared) {
      const known = readers.get(node) ?? new Set();
      readers.set(node, known.add(home));
      if (known.size > mostTried) known.delete(known.values().next().value!);
    }
  }
  return order([...vertices], producers, graph.donated.size > 0).map(({ group }) => group);
}
