/** Fused kernels in turns with the compositions that they stand for, 4 M elements. */

import { compile, gradients, randomNormal, realize, type Tensor, tensor } from "../mod.ts";
import type { Attributes, Fused } from "../src/core/graph.ts";
import { causalSoftmax, rowLosses } from "../src/nn/fused.ts";
import { hestiaForward } from "../src/quant/hestia_fused.ts";
import { applyFused } from "../src/tensor.ts";
import { type Runner, runner } from "./measure.ts";
import { benchPairs, type Pair } from "./pairs.ts";

/** A fused operation and its inputs of 4 M elements, the first of which it is differentiated by. */
interface Case {
  readonly name: string;
  readonly op: Fused;
  readonly inputs: () => Tensor[];
  readonly attributes?: Attributes;
}

const random = (shape: readonly number[]) => randomNormal(shape, { seed: 1 });
const relaxation = (groupSize: number, hard: boolean): Case => ({
  name: `hestia${hard ? ", hard" : ""}, groups of ${groupSize}`,
  op: hestiaForward,
  inputs: () => [random([2048, 2048]), tensor(3), tensor(0.5)],
  attributes: { groupSize, hard, scaleDtype: "float32" },
});

const cases: readonly Case[] = [
  relaxation(128, false),
  relaxation(2048, false),
  relaxation(128, true),
  relaxation(2048, true),
  {
    name: "losses of logits [2048,2048]",
    op: rowLosses,
    inputs: () => [random([2048, 2048]), tensor(Uint32Array.from({ length: 2048 }, (_, row) => (7 * row) % 2048))],
  },
  {
    name: "causal softmax [16,512,512]",
    op: causalSoftmax,
    inputs: () => [random([16, 512, 512]), tensor(new Uint32Array([0]))],
  },
];

/** Forward, and the gradients of a weighted sum of the result, which contain no forward pass unless they need it. */
function pairs({ name, op, inputs, attributes = {} }: Case): Pair[] {
  const fused = (list: readonly Tensor[]) => applyFused(op, list, attributes);
  const composed = (list: readonly Tensor[]) => op.compose(list, attributes);
  const prepare = (apply: (list: readonly Tensor[]) => Tensor, backward: boolean): Promise<Runner> => {
    const list = realize(inputs());
    const [weights] = realize([random(apply(list).shape)]);
    const run = compile((tensors: readonly Tensor[]) => {
      const y = apply(tensors.slice(0, -1));
      return backward ? gradients(y.mul(tensors[list.length]).sum(), tensors.slice(0, 1)) : [y];
    });
    return Promise.resolve(runner(() => run([...list, weights]).forEach((result) => result.dispose())));
  };
  return [false, true].map((backward) => ({
    name: `${name}, ${backward ? "gradient" : "forward"}`,
    fast: () => prepare(fused, backward),
    plain: () => prepare(composed, backward),
  }));
}

benchPairs("fused", cases.flatMap(pairs));
