/**
 * Kernels that reduce rows, and kernels of the elements of these rows, become one: normalisations and their derivatives of any order,
 * say, read each row once from memory, and again while a cache holds it.
 *
 * @module
 */

import type { FlatNode } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import type { Fusion, Group, RowShape } from "./groups.ts";
import { GroupJoiner, type Join } from "./joining.ts";
import { reducedRows, RowWalk } from "./row_walk.ts";
import { MAX_TURNS } from "../kernels/kernel.ts";
import { fewRows, layoutRows } from "./row_code.ts";

/** Most passes over a row. */
const mostPasses = 4;

/** What a group is to others that work on rows. */
interface Candidate {
  /** The rows that it goes over, if it reduces any. */
  readonly rows?: RowShape;
  /** Elements of its roots. */
  readonly sizes: readonly number[];
}

/** `undefined` for what is no map, and reduces no rows. */
function candidateOf(nodes: readonly FlatNode[], { roots, reduction, products, rows }: Group): Candidate | undefined {
  if (products || ["kernel", "fused"].includes(nodes[roots[0]].op.kind)) return undefined;
  const own = rows ?? (reduction === undefined ? undefined : reducedRows(nodes, nodes[reduction]));
  if (reduction !== undefined && !own) return undefined;
  return { rows: own, sizes: [...new Set(roots.map((root) => sizeOf(nodes[root].shape)))] };
}

function isWorthwhile(rows: RowShape, texelReads: boolean): boolean {
  const { count, width } = rows;
  if (count < 1 || width < 2 || count < fewRows && count * width > 2 ** 16) return false;
  return mostPasses * Math.ceil(width / layoutRows(rows, texelReads).members) <= MAX_TURNS;
}

/** Settings of `joinRows`. */
interface RowOptions {
  /** Bounds what a kernel binds. */
  readonly maxBuffers: number;
  readonly texelReads: boolean;
  /** Nodes that are stored even where nobody else reads them. */
  readonly cuts: readonly number[];
}

/** Joins what works on the same rows. */
export function joinRows(fusion: Fusion, { maxBuffers, texelReads, cuts }: RowOptions): Fusion {
  const { graph, stored } = fusion;
  const { nodes } = graph;
  const candidates = new Map<Group, Candidate | undefined>();
  const candidate = (group: Group) => {
    if (!candidates.has(group)) candidates.set(group, candidateOf(nodes, group));
    return candidates.get(group);
  };
  const join: Join = (a, b, joiner) => {
    const [one, other] = [candidate(a), candidate(b)];
    const rows = one?.rows ?? other?.rows;
    if (!one || !other || !rows) return undefined;
    if (one.rows && other.rows && (one.rows.count !== other.rows.count || one.rows.width !== other.rows.width)) return undefined;
    const isInRows = (size: number) => size === rows.count || size === rows.count * rows.width;
    if (!one.sizes.every(isInRows) || !other.sizes.every(isInRows) || !isWorthwhile(rows, texelReads)) return undefined;
    const theirs = new Set([...joiner.reads(b), ...b.roots]);
    if (![...joiner.reads(a), ...a.roots].some((node) => theirs.has(node) && sizeOf(nodes[node].shape) >= rows.count)) {
      return undefined;
    }
    const roots = [...a.roots, ...b.roots].sort((m, n) => m - n);
    const walk = new RowWalk(graph, stored, new Set(roots), rows);
    const passes = 1 + Math.max(...roots.map((root) => walk.root(root)));
    const kept = roots.filter((root) => cuts.includes(root) || joiner.isWantedBeside(root, [a, b]));
    const fits = walk.isLegal && passes <= mostPasses && walk.reads.size + kept.length <= maxBuffers;
    return fits ? { roots, rows } : undefined;
  };
  return new GroupJoiner(fusion).run(join);
}
