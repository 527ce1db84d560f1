/**
 * Random estimates of Hessian traces, against recorded statistics of such estimates.
 *
 * @module
 */

import { randomSigns, zeros } from "../create.ts";
import { columnwise, hutchPlusPlus } from "../quant/hutch.ts";
import type { Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import type { MeasuredModel } from "./traces.ts";

/** Joint Hessian-vector product: a direction for each weight. */
export type JointProduct = (inputs: { directions: Tensor[] }) => Tensor[];

/** Joint probes, probes of each weight alone, and those behind a recorded estimate by Hutchinson. */
const [joint, single, recordedSingle] = [32, 10, 40];

/** Queries of the recorded Hutch++, and of ours. */
const queries = 20;

/**
 * Compares estimates with recorded statistics, in standard errors: how far means lie from the exact traces, and logarithms of standard
 * deviations from the recorded ones.
 */
export async function estimateStatistics(
  recorded: Case,
  model: MeasuredModel,
  { product, measured }: { readonly product: JointProduct; readonly measured: readonly string[] },
): Promise<Computed[]> {
  const estimator = new Estimator(recorded, model, product);
  const alone = await inTurn(measured, (name) => estimator.alone(name));
  const hutch = await inTurn(measured, (name) => estimator.hutch(name));
  const within = (role: string, value: readonly number[], weights: number): Computed => (
    {
      role,
      value,
      expected: value.map(() => 0),
      tolerance: "standardErrors",
      partial: `${weights} of ${model.names.length} weights`,
    }
  );
  return [
    within("joint_std_per_probe", await estimator.together(), model.names.length),
    within("hutchinson40_std", alone.flat(), measured.length),
    within("hutchpp_mean", hutch.map(([mean]) => mean), measured.length),
    within("hutchpp_std", hutch.map(([, deviation]) => deviation), measured.length),
  ];
}

/** Estimates of one model's traces; what it returns is in standard errors. */
class Estimator {
  readonly #none: readonly Tensor[];

  constructor(private readonly recorded: Case, private readonly model: MeasuredModel, private readonly product: JointProduct) {
    this.#none = realize(model.names.map((name) => zeros(model.parameters[name].shape)));
  }

  /** For each weight, from joint probes: mean, standard deviation. */
  async together(): Promise<number[]> {
    const probes = await inTurn(range(joint), async (seed) => {
      const v = this.#signs(seed);
      return await Promise.all(this.product({ directions: v }).map((image, index) => image.mul(v[index]).sum().item()));
    });
    return this.model.names.flatMap((name, index) => {
      const samples = probes.map((values) => values[index]);
      return [this.#bias(samples, name), spread(deviationOf(samples), this.#at("joint_std_per_probe", name), joint)];
    });
  }

  /** For one weight, from probes of it alone: mean, standard deviation. */
  async alone(name: string): Promise<number[]> {
    const index = this.model.names.indexOf(name);
    const samples = await inTurn(range(single), async (seed) => {
      const v = this.#signs(joint + seed)[index];
      return await this.#block(index, v).mul(v).sum().item();
    });
    const deviation = this.#at("hutchinson40_std", name) * Math.sqrt(recordedSingle);
    return [this.#bias(samples, name), spread(deviationOf(samples), deviation, single)];
  }

  /** For one weight, by Hutch++: the estimate, and the standard error that it states. */
  async hutch(name: string): Promise<number[]> {
    const index = this.model.names.indexOf(name);
    const { size, shape } = this.model.parameters[name];
    const operator = columnwise((vector) => this.#block(index, vector.reshape(shape)).reshape([size]));
    const { trace, standardError } = hutchPlusPlus(operator, { length: size, queries, seed: index });
    const [estimate, error] = await Promise.all([trace.item(), standardError.item()]);
    const deviation = this.#at("hutchpp_std", name);
    return [(estimate - this.#at("hutchpp_mean", name)) / deviation, spread(error, deviation, queries)];
  }

  #at(role: string, name: string): number {
    return this.recorded.expected(role).values[this.model.names.indexOf(name)];
  }
  #bias(samples: readonly number[], name: string): number {
    return (meanOf(samples) - this.#at("exact_traces", name)) / deviationOf(samples) * Math.sqrt(samples.length);
  }
  #signs(seed: number): Tensor[] {
    return realize(this.#none.map(({ shape, size }, index) => randomSigns(shape, { seed: seed * size + index })));
  }
  #block(index: number, direction: Tensor): Tensor {
    return this.product({ directions: this.#none.map((zero, at) => at === index ? direction : zero) })[index];
  }
}

const range = (length: number) => Array.from({ length }, (_, index) => index);
const meanOf = (samples: readonly number[]) => samples.reduce((sum, sample) => sum + sample, 0) / samples.length;

function deviationOf(samples: readonly number[]): number {
  const mean = meanOf(samples);
  return Math.sqrt(samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0) / (samples.length - 1));
}

/**
 * How far a standard deviation of so many samples lies from the wanted one. Its logarithm is known to 1 / √(2 (count - 1)) where samples are
 * normal, and to about twice that where a few terms make up most of them, as here.
 */
function spread(found: number, wanted: number, count: number): number {
  return Math.log(found / wanted) / 2 * Math.sqrt(2 * (count - 1));
}

async function inTurn<A, B>(items: readonly A[], work: (item: A) => Promise<B>): Promise<B[]> {
  const results: B[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}
