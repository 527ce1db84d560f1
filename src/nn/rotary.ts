/**
 * Rotary position embedding (Su et al., "RoFormer", 2021), with the ways to stretch it for long contexts that models are published with.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { arange, tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { require } from "./checks.ts";

/** Frequency scaling as Llama 3 publishes it (`rope_type` "llama3"): long waves are slowed by `factor`. */
export interface Llama3Scaling {
  /** Llama 3's scaling where absent. */
  readonly type?: "llama3";
  /** What low frequencies are divided by. */
  readonly factor: number;
  /** Waves with fewer turns in the original context than this are slowed by the whole factor. */
  readonly lowFrequencyFactor: number;
  /** Waves with more turns in the original context than this are kept. */
  readonly highFrequencyFactor: number;
  /** Context length before scaling, in tokens. */
  readonly originalMaxPositions: number;
}

/** All frequencies are divided by `factor` (`rope_type` "linear"; Chen et al., "Position Interpolation", 2023). */
export interface LinearScaling {
  /** Tells it from the others. */
  readonly type: "linear";
  /** What all frequencies are divided by. */
  readonly factor: number;
}

/** Long waves are slowed by `factor`, and all are made larger (`rope_type` "yarn"; Peng et al., "YaRN", 2023). */
export interface YarnScaling {
  /** Tells it from the others. */
  readonly type: "yarn";
  /** What low frequencies are divided by. */
  readonly factor: number;
  /** Context length before scaling, in tokens. */
  readonly originalMaxPositions: number;
  /** Waves with more turns in the original context than this are kept; 32 by default. */
  readonly betaFast?: number;
  /** Waves with fewer turns than this are slowed by the whole factor; 1 by default. */
  readonly betaSlow?: number;
  /** What cosines and sines are multiplied by; 0.1 ln(factor) + 1 by default. */
  readonly attentionFactor?: number;
  /** Whether the first and last pair that are partly slowed are whole numbers; true by default. */
  readonly truncate?: boolean;
}

/** How frequencies are scaled for long contexts. */
export type RopeScaling = Llama3Scaling | LinearScaling | YarnScaling;

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

function llama3Scaled(
  frequency: number,
  { factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions }: Llama3Scaling,
): number {
  const turns = originalMaxPositions * frequency / (2 * Math.PI); // full turns within the original context
  if (turns < lowFrequencyFactor) return frequency / factor;
  if (turns > highFrequencyFactor) return frequency;
  const smooth = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

/** By how much each pair is slowed, from 0 to 1: nothing before the pair that turns `betaFast` times, wholly after that of `betaSlow`. */
function yarnRamp({ headDim, theta }: Pick<RotaryOptions, "headDim" | "theta">, scaling: YarnScaling): (pair: number) => number {
  const { originalMaxPositions, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
  const pairOf = (turns: number) => headDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const [first, last] = [pairOf(betaFast), pairOf(betaSlow)];
  const low = Math.max(0, truncate ? Math.floor(first) : first);
  const high = Math.min(headDim - 1, truncate ? Math.ceil(last) : last);
  const width = high === low ? 0.001 : high - low;
  return (pair) => Math.min(1, Math.max(0, (pair - low) / width));
}

/** Angles of one step, in radians, for each of the headDim / 2 pairs. */
export function inverseFrequencies(options: Pick<RotaryOptions, "headDim" | "theta" | "scaling">): Float64Array {
  const { headDim, theta, scaling } = options;
  const slowed = scaling?.type === "yarn" ? yarnRamp(options, scaling) : undefined;
  return Float64Array.from({ length: headDim / 2 }, (_, pair) => {
    const frequency = theta ** (-2 * pair / headDim);
    if (!scaling) return frequency;
    if (slowed) return frequency * (1 - slowed(pair)) + frequency / scaling.factor * slowed(pair);
    return scaling.type === "linear" ? frequency / scaling.factor : llama3Scaled(frequency, scaling as Llama3Scaling);
  });
}

/** What a scaling multiplies cosines and sines by. */
export function attentionFactor(scaling: RopeScaling | undefined): number {
  if (scaling?.type !== "yarn") return 1;
  return scaling.attentionFactor ?? yarnSize(scaling.factor);
}

/** What YaRN multiplies cosines and sines by for a context that grows by `factor`. */
export function yarnSize(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
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
  const size = attentionFactor(options.scaling);
  const table = (fn: (angle: number) => number) => {
    const values = new Float64Array(positions.length * frequencies.length);
    for (let row = 0; row < positions.length; row++) {
      for (let pair = 0; pair < frequencies.length; pair++) {
        values[row * frequencies.length + pair] = size * fn(positions[row] * frequencies[pair]);
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
