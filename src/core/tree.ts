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
    if (isRecord(value)) {
      return `{${Object.entries(value).map(([key, item]) => `${key}:${visit(item, join(key))}`)}}`;
    }
    const found = value === null ? "null" : typeof value === "object" ? `a ${value.constructor.name}` : typeof value;
    const wanted = "a tensor, a number, or a nested array or record of them";
    throw atCaller(new TypeError(`Cannot use ${found} at "${path}": wanted ${wanted}`));
  };
  return { structure: visit(tree, ""), leaves, paths };
}

/** Whether an object is a record of parts, and no promise, map or list of numbers, whose own keys are not what it holds. */
function isRecord(value: unknown): value is object {
  return typeof value === "object" && value !== null &&
    !(value instanceof Promise || value instanceof Map || value instanceof Set || ArrayBuffer.isView(value));
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

/** Keys of a tree and what its leaves were, to recognise another of its kind without building text. */
export type Pattern<Kind> =
  | { readonly leaf: Kind }
  | { readonly keys: readonly string[] | undefined; readonly parts: readonly Pattern<Kind>[] };

/** The pattern of a tree; `kindOf` tells leaves from branches, for which it gives `undefined`. */
export function patternOf<Kind>(tree: unknown, kindOf: (value: unknown) => Kind | undefined): Pattern<Kind> {
  const leaf = kindOf(tree);
  if (leaf !== undefined) return { leaf };
  const parts = Object.values(tree as object).map((part) => patternOf(part, kindOf));
  return { keys: Array.isArray(tree) ? undefined : Object.keys(tree as object), parts };
}

/** Whether a tree has this pattern. `take` judges each leaf, in the order of {@linkcode flatten}, until it refuses one. */
export function follows<Kind>(tree: unknown, pattern: Pattern<Kind>, take: (value: unknown, kind: Kind) => boolean): boolean {
  if ("leaf" in pattern) return take(tree, pattern.leaf);
  if (typeof tree !== "object" || tree === null) return false;
  const { keys, parts } = pattern;
  if (!keys) {
    return Array.isArray(tree) && tree.length === parts.length && parts.every((part, index) => follows(tree[index], part, take));
  }
  if (Array.isArray(tree)) return false;
  const found = Object.keys(tree);
  return found.length === keys.length &&
    keys.every((key, index) =>
      found[index] === key && follows((tree as Readonly<Record<string, unknown>>)[key], parts[index], take)
    );
}
