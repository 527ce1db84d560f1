/**
 * What a measurement of Hessian traces knows so far, as plain data that survives JSON bit by bit.
 *
 * @module
 */

import { isJsonObject } from "../core/json.ts";

/** Estimated trace of one tensor's Hessian block. */
export interface TensorTrace {
  /** As in the parameters. */
  readonly name: string;
  /** Mean of the estimates so far; it may be negative. */
  readonly trace: number;
  /** Standard error over the probes; NaN after a single one. */
  readonly standardError: number;
}

/** Running mean and sum of squared deviations of as many samples as there were probes. */
export interface SampleMoments {
  /** Mean of the samples. */
  readonly mean: number;
  /** Sum of their squared distances from it. */
  readonly squares: number;
}

/** A measurement of Hessian traces between two probes. */
export interface TraceState {
  /** Batches that the probes go round. */
  readonly batches: number;
  /** Hessian-vector products done. */
  readonly probes: number;
  /** Samples of the first probe, by tensor: they tell whether another run measures the same. */
  readonly first: Readonly<Record<string, number>>;
  /** Length of the next probe's signs, by tensor. */
  readonly lengths: Readonly<Record<string, number>>;
  /** By tensor. */
  readonly tensors: Readonly<Record<string, SampleMoments>>;
  /** By group. */
  readonly groups: Readonly<Record<string, SampleMoments>>;
}

/** The moments with one sample more, the `count`-th (Welford's recurrence). */
function added({ mean, squares }: SampleMoments, sample: number, count: number): SampleMoments {
  const next = mean + (sample - mean) / count;
  return { mean: next, squares: squares + (sample - mean) * (sample - next) };
}

/** Names whose samples are added up, by group. */
export type Groups = Readonly<Record<string, readonly string[]>>;

const none: SampleMoments = { mean: 0, squares: 0 };

/** Lengths of the first probes' signs. */
export const equalLengths = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries(names.map((name) => [name, 1]));

/** Lengths differ by no more than exp of this: a flat tensor must not rule the probe. */
const largestExponent = 5;

/** One over the square root of each trace, or of its standard error where that is larger; around 1. Tensors without curvature keep 1. */
function balancedLengths(traces: readonly TensorTrace[]): Record<string, number> {
  const sizes = traces.map(({ trace, standardError }) => Math.log(Math.max(trace, standardError)));
  const known = sizes.filter(Number.isFinite);
  const mean = known.reduce((sum, size) => sum + size, 0) / known.length;
  const exponent = (size: number) => Math.min(Math.max((mean - size) / 2, -largestExponent), largestExponent);
  return Object.fromEntries(
    traces.map(({ name }, index) => [name, Number.isFinite(sizes[index]) ? Math.fround(Math.exp(exponent(sizes[index]))) : 1]),
  );
}

const isPowerOfTwo = (value: number) => Number.isInteger(Math.log2(value));

/** The state before the first probe. */
export function emptyState(
  names: readonly string[],
  { groups, batches }: { readonly groups: Groups; readonly batches: number },
): TraceState {
  const empty = (keys: readonly string[]) => Object.fromEntries(keys.map((key) => [key, none]));
  return {
    batches,
    probes: 0,
    first: {},
    lengths: equalLengths(names),
    tensors: empty(names),
    groups: empty(Object.keys(groups)),
  };
}

/** The state after one more probe. */
export function advanced(state: TraceState, samples: Record<string, number>, groups: Groups): TraceState {
  const probes = state.probes + 1;
  const next = (moments: Readonly<Record<string, SampleMoments>>, sample: (name: string) => number) =>
    Object.fromEntries(Object.entries(moments).map(([name, each]) => [name, added(each, sample(name), probes)]));
  const tensors = next(state.tensors, (name) => samples[name]);
  return {
    batches: state.batches,
    probes,
    first: probes === 1 ? samples : state.first,
    lengths: probes > 1 && isPowerOfTwo(probes) ? balancedLengths(tracesOf(tensors, probes)) : state.lengths,
    tensors,
    groups: next(state.groups, (group) => groups[group].reduce((sum, name) => sum + samples[name], 0)),
  };
}

/** Estimates after so many probes. */
export function tracesOf(moments: Readonly<Record<string, SampleMoments>>, probes: number): TensorTrace[] {
  return Object.entries(moments).map(([name, { mean, squares }]) => (
    { name, trace: mean, standardError: Math.sqrt(squares / (probes - 1) / probes) }
  ));
}

/** Whether a value read from a file has the form of a state. */
export function isTraceState(value: unknown): value is TraceState {
  if (!isJsonObject(value) || ![value.batches, value.probes].every(Number.isInteger)) return false;
  const moments = (each: unknown) => isJsonObject(each) && typeof each.mean === "number" && typeof each.squares === "number";
  const { first, lengths, tensors, groups } = value;
  const numbers = (each: unknown) => isJsonObject(each) && Object.values(each).every((number) => typeof number === "number");
  return numbers(first) && numbers(lengths) &&
    [tensors, groups].every((record) => isJsonObject(record) && Object.values(record).every(moments));
}
