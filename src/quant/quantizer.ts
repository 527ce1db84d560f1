/**
 * What a quantizer is. A new one is a file that exports a {@linkcode Quantizer}, and a line in `registry.ts`.
 *
 * @module
 */

import type { RuleOptions, WeightRules } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import type { Codes, ScaleDType } from "./groups.ts";

/** State of one weight's quantization at one step, and the rules that it follows. A quantizer uses what it knows. */
export interface QuantizerState extends RuleOptions<WeightRules> {
  /** 0: the whole tensor is one group; -1: each output channel; n > 0: blocks of n along the last axis. */
  readonly groupSize: number;
  /** Of this weight at this step, for quantizers that anneal: a number or a float32 scalar tensor. */
  readonly temperature?: number | Tensor;
  /** Share of the quantized weight in the result, 0 to 1, for quantizers that anneal and for baselines that mix; 1 by default. */
  readonly pressure?: number | Tensor;
  /** The final phase: weights are rounded, and gradients pass straight through. */
  readonly hard?: boolean;
  /** How scales are rounded, where `roundsScales`; float32 by default. */
  readonly scaleDtype?: ScaleDType;
  /** Learned parameters of this weight's quantizer, by the names that `parameters` gave them. */
  readonly parameters?: Readonly<Record<string, Tensor>>;
}

/** A way to quantize weights during training. Pure functions of tensors. */
export interface Quantizer {
  /** Lower-case name, as in commands and configurations. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Whether temperature and pressure mean something to it, so that a schedule and calibration are needed. */
  readonly anneals: boolean;
  /** Whether it takes a pressure without annealing, which the rule `baselinePressure` then gives it. */
  readonly mixes?: boolean;
  /** Whether codes of -1, 0 and 1 and their scales are all there is in the end, which ternary formats hold. */
  readonly ternary: boolean;
  /** Whether it can round its scales to float16 in the forward pass, so that packed formats hold them exactly. */
  readonly roundsScales?: boolean;
  /** The weight that the model computes with: float32, of the weight's shape, differentiable. */
  quantize(weight: Tensor, state: QuantizerState): Tensor;
  /** What is added to the product with the quantized weight: float32, one for each output channel. Absent where nothing is. */
  bias?(weight: Tensor, state: QuantizerState): Tensor;
  /** What is packed in the end: integers and scales. Absent where weights are no integers times scales. */
  codes?(weight: Tensor, state: Omit<QuantizerState, "temperature" | "pressure" | "hard">): Codes;
  /** Initial values of parameters that are learned together with the weight, by name. Absent where there are none. */
  parameters?(weight: Tensor, state: Pick<QuantizerState, "groupSize">): Record<string, Tensor>;
}
