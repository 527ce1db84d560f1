/**
 * What becomes of each tensor while it is trained: codes and how many changed, weights near a border, scales, temperature, gradient.
 *
 * @module
 */

import { partsOf } from "../core/names.ts";
import { arange } from "../create.ts";
import type { LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { readMoment } from "../optim/adamw.ts";
import { annealing } from "../quant/annealing.ts";
import { temperatureScaleOf } from "../quant/guidance.ts";
import { groupView } from "../quant/groups.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import { givenRules } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { disposeAll, type Tensors, type TrainingState } from "../train/trainer.ts";
import type { TrainOptions } from "./train.ts";

/** Statistics of one tensor after a step. Those of codes are there for weights that are quantized to integers. */
export interface TensorStatistics {
  /**
   * Root of the running mean of the squared norm of its gradient, after clipping: over the last 1 / (1 - beta2) steps, 20 by default, as
   * AdamW keeps it.
   */
  readonly gradientNorm: number;
  /** Share of weights whose code is below zero, at it, and above it: -1, 0 and +1 where codes are ternary. */
  readonly shares?: readonly [below: number, zero: number, above: number];
  /** Share of weights whose code is another one than at the statistics before; absent the first time. */
  readonly flips?: number;
  /** Share of weights within a twentieth of a scale of the border between 0 and ±1, at half a scale: a small step turns their code. */
  readonly nearBorder?: number;
  /** Mean scale of its groups. */
  readonly scale?: number;
  /** Temperature of the step; 0 in the hard phase. Absent where nothing anneals. */
  readonly temperature?: number;
}

/** Statistics after a step. */
export interface StepStatistics {
  /** Counted from 1. */
  readonly step: number;
  /** By parameter name. */
  readonly tensors: Readonly<Record<string, TensorStatistics>>;
}

/** When statistics are taken. */
export interface StatisticsPlan {
  /** Optimizer steps between two, at least 1; the first step has some too. Ternary codes are kept for the next one, at two bits each. */
  readonly everySteps: number;
  /** Is told of the statistics; waited for. */
  readonly onStatistics: (statistics: StepStatistics) => Promise<void> | void;
}

/** Half the width of what is near a border, in scales. */
const nearness = 0.05;

/** Scalars by what they are, and the codes to compare the next ones with. */
interface Measured {
  readonly scalars: Record<string, Record<string, Tensor>>;
  readonly codes: Record<string, Tensor>;
}

/**
 * Takes statistics after those steps that a plan names, by one compiled program.
 *
 * @throws RangeError where `everySteps` is not at least 1
 */
export function tensorStatistics(
  { everySteps, onStatistics }: StatisticsPlan,
  { config }: LlamaModel,
  quantizer: Quantizer,
  options: TrainOptions,
): (state: TrainingState) => Promise<void> {
  if (!(Number.isInteger(everySteps) && everySteps >= 1)) {
    throw new RangeError(`Cannot take statistics every ${everySteps} steps: wanted a whole number of at least 1`);
  }
  const names = quantizer.codes ? quantizedNames(config) : [];
  const program = compile((inputs: { parameters: Tensors; second: Tensors; before: Tensors }) => {
    const measured: Measured = { scalars: {}, codes: {} };
    for (const [name, moment] of Object.entries(inputs.second)) {
      measured.scalars[name] = { squares: readMoment(moment, inputs.parameters[name]).sum() };
    }
    for (const name of names) measureCodes(measured, name, inputs, quantizer, options);
    return measured;
  });
  const temperatureOf = temperatures(quantizer, options);
  let before: Tensors = {};
  return async ({ step, parameters, moments }) => {
    if (step !== 1 && step % everySteps !== 0) return;
    const { scalars, codes } = program({ parameters, second: moments.second, before });
    disposeAll(before);
    before = codes;
    const sizes = Object.fromEntries(Object.entries(parameters).map(([name, { size }]) => [name, size]));
    const numbers = await Promise.all(
      Object.entries(scalars).map(async ([name, of]) => [name, await numbersOf(of)] as const),
    );
    disposeAll(scalars);
    const decay = 1 - (options.optimizer?.beta2 ?? 0.95) ** step;
    const told = numbers.map(([name, { squares, ...counts }]) => [name, {
      gradientNorm: Math.sqrt(squares / decay),
      ...counts.below === undefined ? {} : sharesOf(counts, sizes[name]),
      ...names.includes(name) ? temperatureOf(name, step) : {},
    }]);
    await onStatistics({ step, tensors: Object.fromEntries(told) });
  };
}

/** Adds what is counted of one weight's codes. */
function measureCodes(
  measured: Measured,
  name: string,
  { parameters, before }: { readonly parameters: Tensors; readonly before: Tensors },
  quantizer: Quantizer,
  { groupSize = 128, scaleDtype, ...options }: TrainOptions,
): void {
  const settings = { groupSize, scaleDtype, ...givenRules("weights", options), parameters: partsOf(parameters, name) };
  const { codes, scales } = quantizer.codes!(parameters[name], settings);
  const count = (mask: Tensor) => mask.cast("float32").sum();
  const { values, axes } = groupView(parameters[name], groupSize);
  const shape = values.shape.map((length, axis) => axes.includes(axis) ? 1 : length);
  const distance = values.abs().div(scales.reshape(shape)).sub(0.5).abs();
  measured.codes[name] = quantizer.ternary ? packed(codes) : codes;
  const earlier = before[name] && quantizer.ternary ? unpacked(before[name], codes.size).reshape(codes.shape) : before[name];
  Object.assign(measured.scalars[name], {
    below: count(codes.less(0)),
    zero: count(codes.equal(0)),
    near: count(distance.less(nearness)),
    scale: scales.mean(),
    ...earlier ? { flips: count(codes.equal(earlier).equal(0)) } : {},
  });
}

/** Codes to a word. */
const inWord = 16;
const places = (): Tensor => arange(inWord).cast("uint32").mul(2).reshape([1, inWord]);

/** Ternary codes, two bits each: uint32 `[⌈codes / 16⌉]`. */
function packed(codes: Tensor): Tensor {
  const words = Math.ceil(codes.size / inWord);
  const digits = codes.add(1).cast("uint32").reshape([codes.size]).pad([0], [words * inWord - codes.size]);
  return digits.reshape([words, inWord]).shiftLeft(places().expand([words, inWord])).sum({ axes: 1 });
}

/** The first `size` codes of words. */
function unpacked(words: Tensor, size: number): Tensor {
  const shape = [words.size, inWord];
  const digits = words.reshape([words.size, 1]).expand(shape).shiftRight(places().expand(shape)).bitAnd(3);
  return digits.reshape([words.size * inWord]).slice([0], [size]).cast("int32").sub(1);
}

async function numbersOf(scalars: Readonly<Record<string, Tensor>>): Promise<Record<string, number>> {
  const entries = Object.entries(scalars).map(async ([name, value]) => [name, await value.item()] as const);
  return Object.fromEntries(await Promise.all(entries));
}

function sharesOf({ below, zero, near, scale, flips }: Readonly<Record<string, number>>, size: number) {
  const shares = [below / size, zero / size, (size - below - zero) / size] as const;
  return { shares, nearBorder: near / size, scale, ...flips === undefined ? {} : { flips: flips / size } };
}

/** The temperature of a weight in a step, counted from 1. */
function temperatures(quantizer: Quantizer, { recipe, steps, temperatureScales, ...options }: TrainOptions) {
  if (!quantizer.anneals) return () => ({});
  const schedule = annealing({ recipe, ...options.annealing, totalSteps: steps });
  return (name: string, step: number) => ({
    temperature: schedule.at(step - 1).temperature * (temperatureScales ? temperatureScaleOf(temperatureScales, name) : 1),
  });
}
