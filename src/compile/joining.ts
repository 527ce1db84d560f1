/**
 * Joins kernels pair by pair, wherever no other kernel has to run between the two.
 *
 * @module
 */

import { type Fusion, type Group, readsOf } from "./groups.ts";

/** One kernel that does the work of two, or `undefined` where there is none. */
export type Join = (a: Group, b: Group, joiner: GroupJoiner) => Group | undefined;

/** The list of groups in an order in which they can run, while pairs of them become one. */
export class GroupJoiner {
  readonly #groups: Group[];
  readonly #reads = new Map<Group, ReadonlySet<number>>();
  readonly #readers = new Map<number, Set<Group>>();

  constructor(private readonly fusion: Fusion) {
    this.#groups = [...fusion.groups];
    for (const group of this.#groups) for (const node of this.reads(group)) this.#addReader(node, group);
  }

  /** Stored nodes that a group reads, those of its own included. */
  reads(group: Group): ReadonlySet<number> {
    let known = this.#reads.get(group);
    if (!known) {
      const { graph, stored } = this.fusion;
      this.#reads.set(group, known = new Set(group.roots.flatMap((root) => [...readsOf(graph, stored, root).keys()])));
    }
    return known;
  }

  /** Whether a group other than these reads a node, or the caller of the program. */
  isWantedBeside(node: number, groups: readonly Group[]): boolean {
    if (this.fusion.graph.outputs.includes(node)) return true;
    return [...this.#readers.get(node) ?? []].some((reader) => !groups.includes(reader));
  }

  /** Whether any group reads a node. */
  isRead(node: number): boolean {
    return (this.#readers.get(node)?.size ?? 0) > 0;
  }

  /** Joins all pairs that `join` takes. */
  run(join: Join): Fusion {
    for (let first = 0; first < this.#groups.length; first++) {
      for (let second = first + 1; second < this.#groups.length; second++) {
        const joined = join(this.#groups[first], this.#groups[second], this);
        if (joined && this.#replace(first, second, joined)) second = first; // what was refused before may fit now
      }
    }
    return { ...this.fusion, groups: this.#groups };
  }

  #addReader(node: number, group: Group): void {
    this.#readers.set(node, (this.#readers.get(node) ?? new Set()).add(group));
  }

  /** Puts one group in the place of the first of two, or else of the second, unless what runs between them is in the way. */
  #replace(first: number, second: number, joined: Group): boolean {
    const [a, b] = [this.#groups[first], this.#groups[second]];
    const between = this.#groups.slice(first + 1, second);
    const needs = (group: Group, { roots }: Group) => roots.some((root) => this.reads(group).has(root));
    const movesUp = !between.some((group) => needs(b, group));
    if (!movesUp && between.some((group) => needs(group, a))) return false;
    for (const group of [a, b]) for (const node of this.reads(group)) this.#readers.get(node)!.delete(group);
    for (const node of this.reads(joined)) this.#addReader(node, joined);
    this.#groups.splice(first, second - first + 1, ...movesUp ? [joined, ...between] : [...between, joined]);
    return true;
  }
}
