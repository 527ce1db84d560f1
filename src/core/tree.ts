/**
 * Nested records and arrays of leaves, as functions take and return them.
 *
 * @module
 */

import { atCaller } from "./errors.ts";

/** A leaf, or a nested array or record of leaves. */
export type Tree<Leaf> = Leaf | readonly Tree<Leaf>[] | { readonly [key: string]: Tree<Leaf> };

/** Leaves in a fixed order, and the way back. */
export interface Flattened<Leaf> {
  readonly leaves: Leaf[];
  /** Path of each leaf, such as `layers.0.weight`. */
  readonly paths: string[];
  /** Text that is equal for trees of one structure. */
  readonly structure: string;
}

/** Lists the leaves of a tree depth first; records by insertion order of their keys. */
export function flatten<Leaf>(tree: unknown, isLeaf: (value: unknown) => value is Leaf): Flattened<Leaf> {
  const leaves: Leaf[] = [];
  const paths: string[] = [];
  const visit = (value: unknown, path: string): string => {
    if (isLeaf(value)) {
      leaves.push(value);
      paths.push(path);
      return "*";
    }
    const join = (key: string | number) => path === "" ? `${key}` : `${path}.${key}`;
    if (Array.isArray(value)) return `[${value.map((item, index) => visit(item, join(index)))}]`;
    if (typeof value === "object" && value !== null) {
      return `{${Object.entries(value).map(([key, item]) => `${key}:${visit(item, join(key))}`)}}`;
    }
    const found = value === null ? "null" : typeof value;
    const wanted = "a tensor, a number, or a nested array or record of them";
    throw atCaller(new TypeError(`Cannot use ${found} at "${path}": wanted ${wanted}`));
  };
  return { structure: visit(tree, ""), leaves, paths };
}

/** The tree of the same structure with each leaf replaced by the next of `leaves`. */
export function unflatten<Leaf, New>(tree: unknown, isLeaf: (value: unknown) => value is Leaf, leaves: readonly New[]): unknown {
  let next = 0;
  const visit = (value: unknown): unknown => {
    if (isLeaf(value)) return leaves[next++];
    if (Array.isArray(value)) return value.map(visit);
    return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, visit(item)]));
  };
  return visit(tree);
}
