/**
 * Rotary position embedding (Su et al., "RoFormer", 2021), with the frequency scaling of Llama 3.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { arange, tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { require } from "./checks.ts";

/** Frequency scaling as Llama 3 publishes it (`rope_scaling` with `rope_type` "llama3"): long waves are slowed by `factor`. */
export interface RopeScaling {
  /** What low frequencies are divided by. */
  readonly factor: number;
  /** Waves with fewer turns in the original context than this are slowed by the whole factor. */
  readonly lowFrequencyFactor: number;
  /** Waves with more turns in the original context than this are kept. */
  readonly highFrequencyFactor: number;
  /** Context length before scaling, in tokens. */
  readonly originalMaxPositions: number;
}

/** What the angles depend on. */
export interface RotaryOptions {
  /** Even; half as many pairs are rotated. */
  readonly headDim: number;
  /** Base of the geometric sequence of wave lengths. */
  readonly theta: number;
  /** None by default. */
  readonly scaling?: RopeScaling;
  /** Positions of the rows of the table; `length` stands for 0 to length - 1. */
  readonly positions?: ArrayLike<number>;
  /** Number of positions, counted from 0, where `positions` is absent. */
  readonly length?: number;
}

/** Cosines and sines of the angles, `[positions, headDim / 2]`, and the angle of one step for each pair, in radians. */
export interface RotaryTable {
  /** float32 `[positions, headDim / 2]`. */
  readonly cos: Tensor;
  /** float32 `[positions, headDim / 2]`. */
  readonly sin: Tensor;
  /** Radians a position, one for each pair. */
  readonly inverseFrequencies: Float64Array;
}

function scaled(
  frequency: number,
  { factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions }: RopeScaling,
): number {
  const turns = originalMaxPositions * frequency / (2 * Math.PI); // full turns within the original context
  if (turns < lowFrequencyFactor) return frequency / factor;
  if (turns > highFrequencyFactor) return frequency;
  const smooth = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

/** Angles of one step, in radians, for each of the headDim / 2 pairs. */
export function inverseFrequencies(
  { headDim, theta, scaling }: Pick<RotaryOptions, "headDim" | "theta" | "scaling">,
): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, pair) => {
    const frequency = theta ** (-2 * pair / headDim);
    return scaling ? scaled(frequency, scaling) : frequency;
  });
}

/**
 * Computes the table on the host in float64: no device's sine of a large angle can be trusted.
 *
 * @example
 * ```ts
 * import { rotaryTable } from "@hestia/hestia";
 * const { cos, inverseFrequencies } = rotaryTable({ headDim: 4, theta: 10_000, length: 8 });
 * console.log(`${cos}`, inverseFrequencies); // float32[8,2], and 1, 0.01
 * ```
 */
export function rotaryTable(options: RotaryOptions): RotaryTable {
  if (options.headDim % 2 !== 0) {
    throw atCaller(new RangeError(`Cannot rotate heads of ${options.headDim} dimensions: wanted an even number`));
  }
  if (!(options.theta > 0)) throw atCaller(new RangeError(`Cannot rotate with theta ${options.theta}: wanted a number above 0`));
  const positions = options.positions ?? Array.from({ length: options.length ?? 0 }, (_, position) => position);
  const frequencies = inverseFrequencies(options);
  const table = (fn: (angle: number) => number) => {
    const values = new Float64Array(positions.length * frequencies.length);
    for (let row = 0; row < positions.length; row++) {
      for (let pair = 0; pair < frequencies.length; pair++) {
        values[row * frequencies.length + pair] = fn(positions[row] * frequencies[pair]);
      }
    }
    return tensor(values, { shape: [positions.length, frequencies.length] });
  };
  return { cos: table(Math.cos), sin: table(Math.sin), inverseFrequencies: frequencies };
}

/**
 * Rotates pairs (i, i + headDim / 2) of the last axis, the layout of Hugging Face checkpoints.
 *
 * @param x `[…, positions, headDim]`, or with other axes between the two
 * @param table rows for the positions of `x`
 * @param options `axis`: that of the positions, counted from the last one, which is -1; -2 by default
 *
 * @example
 * ```ts
 * import { rotaryTable, rotate, tensor } from "@hestia/hestia";
 * const table = rotaryTable({ headDim: 2, theta: 10_000, length: 2 });
 * console.log(await rotate(tensor([[1, 0], [1, 0]]), table).data()); // 1, 0, and turned by one radian 0.540…, 0.841…
 * ```
 */
export function rotate(
  x: Tensor,
  { cos, sin }: Pick<RotaryTable, "cos" | "sin">,
  { axis = -2 }: { axis?: number } = {},
): Tensor {
  const [positions, half] = cos.shape;
  const between = new Array(Math.max(0, -2 - axis)).fill(1);
  require(
    axis <= -2 && sameShape([x.shape.at(axis) ?? 0, x.shape.at(-1) ?? 0], [positions, 2 * half]),
    () =>
      `Cannot rotate ${x} by a table of ${cos}: wanted ` +
      `[..., ${[positions, ...between.map(() => "..."), 2 * half].join(", ")}], a row of the table for each position`,
  );
  const pairs = x.reshape([...x.shape.slice(0, -1), 2, half]);
  const [c, s] = [cos, sin].map((table) => table.reshape([positions, ...between, 1, half]));
  const signs = arange([2, 1], { axis: 0 }).mul(2).sub(1);
  return pairs.mul(c).add(pairs.flip(-2).mul(s).mul(signs)).reshape(x.shape);
}
