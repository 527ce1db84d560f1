/**
 * Joins kernels pair by pair, wherever no other kernel has to run between the two.
 *
 * @module
 */

import { type Fusion, type Group, readsOf } from "./groups.ts";

/** One kernel that does the work of two, or `undefined` where there is none. */
export type Join = (a: Group, b: Group, joiner: GroupJoiner) => Group | undefined;

/** How many groups behind a group are looked at: what runs farther apart rarely fits, and its results would live long. */
const farthest = 64;

/** The list of groups in an order in which they can run, while pairs of them become one. */
export class GroupJoiner {
  /** By place; groups that were joined leave holes. */
  readonly #groups: (Group | undefined)[];
  /** Place of the group that stores a node. */
  readonly #places = new Map<number, number>();
  readonly #reads = new Map<Group, ReadonlySet<number>>();
  readonly #readers = new Map<number, Set<Group>>();
  readonly #outputs: ReadonlySet<number>;

  constructor(private readonly fusion: Fusion) {
    this.#groups = [...fusion.groups];
    this.#outputs = new Set(fusion.graph.outputs);
    fusion.groups.forEach((group, place) => this.#put(group, place));
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
    if (this.#outputs.has(node)) return true;
    return [...this.#readers.get(node) ?? []].some((reader) => !groups.includes(reader));
  }

  /** Whether any group reads a node. */
  isRead(node: number): boolean {
    return (this.#readers.get(node)?.size ?? 0) > 0;
  }

  /** Joins all pairs that `join` takes, of groups that are not far apart. */
  run(join: Join): Fusion {
    for (let first = 0; first < this.#groups.length; first++) {
      while (this.#joinNext(first, join)); // what was refused before may fit now
    }
    return { ...this.fusion, groups: this.#groups.filter((group) => group !== undefined) };
  }

  /** Joins the group at a place and the first one behind it that `join` takes. */
  #joinNext(first: number, join: Join): boolean {
    const a = this.#groups[first];
    let tried = 0;
    for (let second = first + 1; a && second < this.#groups.length && tried < farthest; second++) {
      const b = this.#groups[second];
      if (!b) continue;
      tried++;
      const place = this.#placeTogether(a, b, [first, second]);
      const joined = place === undefined ? undefined : join(a, b, this);
      if (!joined) continue;
      for (const group of [a, b]) for (const node of this.reads(group)) this.#readers.get(node)!.delete(group);
      this.#groups[first] = this.#groups[second] = undefined;
      this.#put(joined, place!);
      return true;
    }
    return false;
  }

  #put(group: Group, place: number): void {
    this.#groups[place] = group;
    for (const root of group.roots) this.#places.set(root, place);
    for (const node of this.reads(group)) this.#readers.set(node, (this.#readers.get(node) ?? new Set()).add(group));
  }

  /** The place of the first of two groups, or else of the second, unless what runs between them is in the way. */
  #placeTogether(a: Group, b: Group, [first, second]: readonly [number, number]): number | undefined {
    const isBetween = (place: number) => first < place && place < second;
    if (!this.reads(b).values().some((node) => isBetween(this.#places.get(node) ?? -1))) return first;
    const isReadBetween = (root: number) => this.#readers.get(root)?.values().some((reader) => isBetween(this.#placeOf(reader)));
    return a.roots.some(isReadBetween) ? undefined : second;
  }

  #placeOf({ roots }: Group): number {
    return this.#places.get(roots[0])!;
  }
}
