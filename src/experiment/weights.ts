/**
 * What becomes of the weights: how many lie near the border of two codes, how many change their code, and how they are spread.
 *
 * @module
 */

import { partsOf } from "../core/names.ts";
import { quantizedNames } from "../llama/parameters.ts";
import type { TrainedModel } from "../pipeline/train.ts";
import { absmeanCodes } from "../quant/codebook.ts";
import { absmeanScale, groupView } from "../quant/groups.ts";
import { quantizerNamed } from "../quant/registry.ts";
import { givenRules } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";

/** Weights are near a border where |w / s| is within this of ½, with s the mean magnitude of their group. */
export const borderWidth = 0.05;

/** State of the weights at one step. */
export interface WeightStatistics {
  readonly step: number;
  /** Share of the quantized weights with |w / s| near ½. */
  readonly nearBorder: number;
  /** Share that changed its code in the step before this one; null where there is no such step. */
  readonly flips: number | null;
  /** Share with code zero. */
  readonly zeros: number;
}

/** Counts of w / s in equal bins from `-limit` to `limit`; what lies beyond counts in the outermost. */
export interface Histogram {
  readonly limit: number;
  readonly counts: readonly number[];
}

interface Group {
  readonly weight: Tensor;
  /** Weights in units of their scale. */
  readonly units: Tensor;
  readonly codes: Tensor;
}

/** The quantized weights of a model in units of their group's mean magnitude, and their codes. A graph: nothing runs. */
function groupsOf({ config, parameters, quantization }: TrainedModel, groupSize: number): Group[] {
  const { codes } = quantizerNamed(quantization?.quantizer ?? "ternary");
  return quantizedNames(config).map((name) => {
    const weight = parameters[name];
    const view = groupView(weight, groupSize);
    const learned = partsOf(quantization?.parameters ?? {}, name);
    const rules = givenRules("weights", quantization ?? {});
    const coded = codes?.(weight, { ...rules, groupSize, parameters: learned }) ?? absmeanCodes(weight, { ...rules, groupSize });
    return { weight, units: view.values.div(absmeanScale(view, rules)), codes: coded.codes };
  });
}

const total = (values: readonly Tensor[]): Tensor => values.reduce((sum, value) => sum.add(value));
const count = (condition: Tensor): Tensor => condition.cast("float32").sum();

/** Watches a model while it is trained. Everything is counted on the device; a few numbers are read at the end. */
export class WeightWatch {
  readonly #pending: { readonly step: number; readonly size: number; readonly sums: readonly Tensor[]; flips: boolean }[] = [];
  #codes: { readonly step: number; readonly tensors: Tensor[] } | undefined;

  constructor(private readonly groupSize: number) {}

  /** Queues the counts of one step. Codes are kept until the next call, so that flips are known where it is the step after. */
  observe(step: number, model: TrainedModel): void {
    const groups = groupsOf(model, this.groupSize);
    const before = this.#codes?.step === step - 1 ? this.#codes.tensors : undefined;
    const near = total(groups.map(({ units }) => count(units.abs().sub(0.5).abs().less(borderWidth))));
    const zeros = total(groups.map(({ codes }) => count(codes.equal(0))));
    const same = before ? [total(groups.map(({ codes }, index) => count(codes.equal(before[index]))))] : [];
    const computed = realize([near, zeros, ...same, ...groups.map(({ codes }) => codes)]);
    const sums = computed.slice(0, 2 + same.length);
    this.#codes?.tensors.forEach((tensor) => tensor.dispose());
    this.#codes = { step, tensors: computed.slice(sums.length) };
    const size = groups.reduce((sum, { weight }) => sum + weight.size, 0);
    this.#pending.push({ step, size, sums, flips: before !== undefined });
  }

  /** Reads what was counted. */
  async read(): Promise<WeightStatistics[]> {
    this.#codes?.tensors.forEach((tensor) => tensor.dispose());
    this.#codes = undefined;
    return await Promise.all(this.#pending.map(async ({ step, size, sums, flips }) => {
      const [near, zeros, same] = await Promise.all(sums.map((sum) => sum.item()));
      sums.forEach((sum) => sum.dispose());
      return { step, nearBorder: near / size, flips: flips ? 1 - same / size : null, zeros: zeros / size };
    }));
  }
}

/** How the quantized weights of a model are spread, in units of the mean magnitude of their group. */
export async function weightHistogram(
  model: TrainedModel,
  { groupSize, bins = 80, limit = 4 }: { readonly groupSize: number; readonly bins?: number; readonly limit?: number },
): Promise<Histogram> {
  const counts = new Array<number>(bins).fill(0);
  for (const { units } of groupsOf(model, groupSize)) {
    const [tensor] = realize([units]);
    for (const value of await tensor.data()) {
      const bin = Math.floor((Number(value) + limit) / (2 * limit) * bins);
      counts[Math.min(bins - 1, Math.max(0, bin))]++;
    }
    tensor.dispose();
  }
  return { limit, counts };
}
