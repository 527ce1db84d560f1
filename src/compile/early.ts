/**
 * Last of the fusion stages: what ends a program runs as soon as it can, to free what it reads. The update of a parameter frees its
 * gradient, and so does the sum of the gradient's squares.
 *
 * @module
 */

import { sizeOf } from "../core/shape.ts";
import { type Fusion, type Group, isMap, readsOf } from "./groups.ts";

/** Most elements of results that cost nothing to keep. */
const smallSize = 1024;

/** Stored nodes that a group reads. */
const readsOfGroup = ({ graph, stored }: Fusion, { roots }: Group): Set<number> =>
  new Set(roots.flatMap((root) => [...readsOf(graph, stored, root).keys()]).filter((node) => !roots.includes(node)));

/** When a group may run. */
interface Freedom {
  /** As soon as its inputs are there: its results are small, or only what ends the program reads them. */
  readonly isEarly: boolean;
  /** But after all others that read a donated input which it may overwrite. */
  readonly overwrites: boolean;
}

function freedomOf(fusion: Fusion, reads: readonly ReadonlySet<number>[]): Freedom[] {
  const { graph: { nodes }, groups } = fusion;
  const readers = new Map<number, number[]>();
  reads.forEach((each, index) => each.forEach((node) => readers.set(node, [...readers.get(node) ?? [], index])));
  const readersOf = (index: number) => groups[index].roots.flatMap((root) => readers.get(root) ?? []);
  const isSink = (index: number) => isMap(fusion, groups[index]) && readersOf(index).length === 0;
  return groups.map((group, index) => {
    const isSmall = group.roots.every((root) => sizeOf(nodes[root].shape) <= smallSize);
    const ends = isMap(fusion, group) && readersOf(index).every(isSink); // moments, say, which a parameter is made from
    return { isEarly: isSmall || ends, overwrites: isSmall ? isSink(index) : ends };
  });
}

/**
 * Places early groups behind the last one that makes what they read. Only where inputs are donated, as elsewhere what ends a program
 * stands early already.
 */
export function placeEarly(fusion: Fusion): Fusion {
  const { graph: { nodes, donated }, groups } = fusion;
  if (donated.size === 0) return fusion;
  const reads = groups.map((group) => readsOfGroup(fusion, group));
  const freedom = freedomOf(fusion, reads);
  const makers = new Map<number, number>(); // place of what stores a node
  const users = new Map<number, number>(); // last place of what reads a donated input
  const placed: Group[][] = [[]];
  const put = (index: number, place: number) => {
    placed[place].push(groups[index]);
    for (const root of groups[index].roots) makers.set(root, place);
  };
  for (const index of groups.keys().filter((index) => !freedom[index].isEarly)) {
    put(index, placed.push([]) - 1);
    for (const node of reads[index]) if (donated.has(nodes[node].leaf ?? -1)) users.set(node, placed.length - 1);
  }
  for (const index of groups.keys().filter((index) => freedom[index].isEarly)) {
    const size = sizeOf(nodes[groups[index].roots[0]].shape);
    const overwrites = (node: number) => freedom[index].overwrites && sizeOf(nodes[node].shape) === size; // not a learning rate
    const placeOf = (node: number) => Math.max(makers.get(node) ?? 0, overwrites(node) ? users.get(node) ?? 0 : 0);
    put(index, reads[index].values().reduce((latest, node) => Math.max(latest, placeOf(node)), 0));
  }
  return { ...fusion, groups: placed.flat() };
}
