/**
 * Rows in batches of few shapes, and what rows begin with in common, which runs once.
 *
 * @module
 */

import { zeros } from "../create.ts";
import { llamaCached, type LlamaModel } from "../llama/model.ts";
import { rotaryTable } from "../nn/rotary.ts";
import { constant, type Tensor } from "../tensor.ts";
import type { ScoredRow } from "./score.ts";

/** Rows that run together, as one rectangle that is filled up at the right. */
export interface RowBatch {
  /** Which rows these are. */
  readonly rows: readonly number[];
  /** Rows and columns of the rectangle, which may be larger, so that few programs are compiled. */
  readonly shape: readonly [rows: number, length: number];
}

/**
 * Rows in batches, the longest first, so that what does not fit fails at once. Lengths and numbers of rows are rounded up to few values.
 *
 * @param most tokens of the longest row that a model takes
 */
export function batchesOf(lengths: readonly number[], { most, batchTokens }: { most: number; batchTokens: number }): RowBatch[] {
  const order = lengths.map((_, row) => row).sort((a, b) => lengths[b] - lengths[a] || a - b);
  const batches: RowBatch[] = [];
  for (let start = 0; start < order.length;) {
    const length = Math.min(most, roundedLength(lengths[order[start]]));
    const fitting = 2 ** Math.floor(Math.log2(Math.max(1, batchTokens / length)));
    const rows = order.slice(start, start + fitting);
    batches.push({ rows, shape: [Math.min(fitting, powerOfTwo(rows.length)), length] });
    start += rows.length;
  }
  return batches;
}

const powerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, count)));

/** A number of rows, rounded up. */
const fewValues = (count: number): number => count < 16 ? powerOfTwo(count) : roundedLength(count);

/** A length that is a multiple of an eighth of the power of two above it, and of 16 at least. */
export function roundedLength(length: number): number {
  const step = Math.max(16, powerOfTwo(length) / 8);
  return step * Math.ceil(length / step);
}

/** Rows of a batch, and what they begin with. */
export interface GroupedBatch extends RowBatch {
  /** Absent where each row runs from its beginning; then `shape` is that of the rows without it. */
  readonly shared?: {
    /** Tokens that the rows of a group share, of all groups as many. */
    readonly length: number;
    /** For each group a row that begins with its tokens. */
    readonly prefixes: readonly number[];
    /** Group of each row. */
    readonly groups: readonly number[];
  };
}

/** Tokens that a batch runs, without what fills it up. */
export function tokensOf(rows: readonly ScoredRow[], { rows: chosen, shared }: GroupedBatch): number {
  const own = chosen.reduce((sum, row) => sum + rows[row].inputs.length - (shared?.length ?? 0), 0);
  return own + (shared ? shared.length * shared.prefixes.length : 0);
}

/** Tokens that a row may share with others: those before its first target, a multiple of a step, so that few programs are compiled. */
function sharedLength({ positions }: ScoredRow): number {
  let first = Infinity;
  for (let at = 0; at < positions.length; at++) first = Math.min(first, positions[at]);
  if (!Number.isFinite(first)) return 0;
  const step = Math.max(16, powerOfTwo(first) / 8);
  return step * Math.floor(first / step);
}

/** Batches of all rows: those that begin alike by what they share, the others by length. */
export function groupedBatches(rows: readonly ScoredRow[], limits: { most: number; batchTokens: number }): GroupedBatch[] {
  const families = new Map<string, number[]>();
  rows.forEach((row, index) => {
    const length = sharedLength(row);
    const key = length === 0 ? `alone ${index}` : Array.from(row.inputs).slice(0, length).join();
    const family = families.get(key);
    if (family) family.push(index);
    else families.set(key, [index]);
  });
  const byLength = new Map<number, number[][]>();
  const alone: number[] = [];
  for (const family of families.values()) {
    if (family.length === 1) alone.push(family[0]);
    else byLength.set(sharedLength(rows[family[0]]), [...byLength.get(sharedLength(rows[family[0]])) ?? [], family]);
  }
  const shared = byLength.entries().toArray().sort(([a], [b]) => b - a)
    .flatMap(([length, groups]) => sharedBatches(rows, groups, { ...limits, length }));
  const plain = batchesOf(alone.map((row) => rows[row].inputs.length), limits)
    .map((batch) => ({ ...batch, rows: batch.rows.map((index) => alone[index]) }));
  return [...plain, ...shared];
}

/** Groups that share as many tokens, so many to a batch as its size allows. */
function sharedBatches(
  rows: readonly ScoredRow[],
  groups: readonly (readonly number[])[],
  { most, batchTokens, length }: { most: number; batchTokens: number; length: number },
): GroupedBatch[] {
  const restOf = (group: readonly number[]) => Math.max(...group.map((row) => rows[row].inputs.length)) - length;
  const order = [...groups].sort((a, b) => restOf(b) - restOf(a));
  const batches: GroupedBatch[] = [];
  for (let start = 0; start < order.length;) {
    const rest = Math.min(most - length, roundedLength(restOf(order[start])));
    const size = (count: number) => count * length + order.slice(start, start + count).flat().length * rest;
    let count = 1;
    while (2 * count <= order.length - start && size(2 * count) <= batchTokens) count *= 2;
    const chosen = order.slice(start, start + count);
    const all = chosen.flat();
    const owners = chosen.flatMap((group, index) => group.map(() => index));
    const prefixes = chosen.map(([row]) => row);
    batches.push({ rows: all, shape: [fewValues(all.length), rest], shared: { length, prefixes, groups: owners } });
    start += count;
  }
  return batches;
}

/**
 * Hidden vectors of rows that go on from what their groups begin with.
 *
 * @param inputs `prefixes` `[groups, shared]`, `groups` `[rows]`: the group of each, and `inputs` `[rows, rest]`
 * @returns `[rows, rest, hidden]`
 */
export function hiddenBehind(model: LlamaModel, { prefixes, groups, inputs }: Readonly<Record<string, Tensor>>): Tensor {
  const { config } = model;
  const [[count, shared], rest] = [prefixes.shape, inputs.shape[1]];
  const { headDim, ropeTheta: theta, ropeScaling: scaling } = config;
  const rotary = rotaryTable({ headDim, theta, scaling, length: shared + rest });
  const nothing = zeros([count, config.keyValueHeads, shared, headDim]);
  const empty = { layers: Array.from({ length: config.layers }, () => ({ keys: nothing, values: nothing })) };
  const position = (at: number) => constant(at, [], "uint32");
  const { cache } = llamaCached(model, prefixes, { cache: empty, position: position(0), rotary });
  const own = (x: Tensor) => x.gather(groups).pad([0, 0, 0, 0], [0, 0, rest, 0]);
  const layers = cache.layers.map(({ keys, values }) => ({ keys: own(keys), values: own(values) }));
  return llamaCached(model, inputs, { cache: { layers }, position: position(shared), rotary }).hidden;
}
