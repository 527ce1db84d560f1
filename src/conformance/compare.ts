/**
 * Computed against recorded: one measure of error, and one table of tolerances.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import type { Case } from "./case.ts";

/**
 * Every tolerance, as a relative error: largest difference over largest recorded magnitude of a tensor.
 */
const tolerances = {
  /** What the reference backend and the host compute, in float64. */
  float64: 1e-9,
  /** Outputs that were recorded as roundings to float32: half a unit in the last place, and a little for the comparison. */
  storedFloat32: 6.1e-8,
  /** A device that computes in float32 may be off by so many times the error that float32 showed under PyTorch… */
  float32Factor: 30,
  /** …or, where that error was not recorded, or came out smaller by luck, by so many times this one: two units in the last place. */
  float32Error: 2 ** -22,
  /** Numbers that another program's optimiser found, whose own tolerance was loose, or tight. */
  looseOptimum: 1e-4,
  tightOptimum: 1e-7,
  /** Tables that another program computed in float32. */
  float32Arithmetic: 1e-6,
  /** Weights after some steps of training: where a gradient is small, Adam enlarges its rounding errors. */
  float32Training: 1e-3,
  /** Gradients of a run whose rounding errors have begun to grow without bound. */
  chaos: 1e-2,
  /** Sums of hundreds of second derivatives, each computed in float32. */
  float32Trace: 1e-4,
  /** Statistics of random estimates, given in their standard errors. */
  standardErrors: 5,
} as const;

/** What a handler computed for one output. */
export interface Computed {
  /** Role of the recorded output. */
  readonly role: string;
  /** A tensor, several whose elements follow each other, or numbers that the host computed. */
  readonly value: Tensor | readonly Tensor[] | ArrayLike<number>;
  /** What to compare with when it is no recorded tensor but a parameter of the case. */
  readonly expected?: ArrayLike<number>;
  /** Relative error that float32 showed under PyTorch; absolute where `absolute` is set. */
  readonly float32Error?: number;
  readonly absolute?: boolean;
  /** How much more than other operations this one enlarges rounding errors; 1 by default. */
  readonly sensitivity?: number;
  /** For outputs that are not exact in the record. */
  readonly tolerance?: "looseOptimum" | "tightOptimum" | "float32Arithmetic" | "float32Trace" | "standardErrors" | "chaos";
  /** For outputs that a device may compute worse than others. */
  readonly deviceTolerance?: "float32Training" | "float32Trace";
  /** Whether numbers that were read already were computed by the device. */
  readonly onDevice?: boolean;
  /** Which part of the output was compared, where it is not all of it, in a few words. */
  readonly partial?: string;
}

/** Result of one comparison. */
export interface Comparison {
  readonly role: string;
  /** Largest difference over largest recorded magnitude; over 1 where all that was recorded is zero. NaN fails. */
  readonly error: number;
  readonly tolerance: number;
  /** Which part of the output was compared, where it is not all of it. */
  readonly partial?: string;
}

const isTensors = (value: Computed["value"]): value is readonly Tensor[] =>
  Array.isArray(value) && value.length > 0 && typeof value[0] === "object";

/** Reads everything in one go and compares. `float32` tells whether tensors were computed in float32. */
export async function compare(
  recorded: Case,
  computed: readonly Computed[],
  { float32 }: { readonly float32: boolean },
): Promise<Comparison[]> {
  const tensorsOf = ({ value }: Computed) => isTensors(value) ? value : "dtype" in value ? [value] : undefined;
  const read = await Promise.all(computed.map((item) => {
    const tensors = tensorsOf(item);
    return tensors ? Promise.all(tensors.map((tensor) => tensor.data())) : [item.value as ArrayLike<number>];
  }));
  return computed.map((item, index) => {
    const onDevice = item.onDevice === true || tensorsOf(item) !== undefined;
    const { values, float32: rounded } = item.expected ? { values: item.expected, float32: false } : recorded.expected(item.role);
    const got = read[index].flatMap((part) => Array.from(part));
    const scale = largest(values) || 1;
    const floor = rounded ? tolerances.storedFloat32 : 0;
    return {
      role: item.role,
      partial: item.partial,
      error: difference(got, values) / scale,
      tolerance: floor + toleranceOf(item, { float32: float32 && onDevice, scale }),
    };
  });
}

function toleranceOf(item: Computed, { float32, scale }: { float32: boolean; scale: number }): number {
  const { float32Error = 0, absolute = false, sensitivity = 1, tolerance, deviceTolerance } = item;
  const own = tolerance ? tolerances[tolerance] : float32 && deviceTolerance ? tolerances[deviceTolerance] : 0;
  if (!float32) return Math.max(own, tolerances.float64);
  const shown = Math.max(absolute ? float32Error / scale : float32Error, tolerances.float32Error * sensitivity);
  return Math.max(own, tolerances.float32Factor * shown);
}

function largest(values: ArrayLike<number>): number {
  let magnitude = 0;
  for (let i = 0; i < values.length; i++) magnitude = Math.max(magnitude, Math.abs(values[i]));
  return magnitude;
}

/** Largest absolute difference; NaN where lengths differ or a number is none. */
function difference(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return NaN;
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) worst = Math.max(worst, Math.abs(got[i] - wanted[i])); // NaN stays
  return worst;
}
