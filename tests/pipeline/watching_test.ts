import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { heldOutLoss } from "../../src/pipeline/evaluate.ts";
import type { HeldOutPoint } from "../../src/pipeline/held_out_points.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import type { StepStatistics } from "../../src/pipeline/tensor_statistics.ts";
import { train, type TrainOptions } from "../../src/pipeline/train.ts";
import { type QuantizerName, quantizers } from "../../src/quant/registry.ts";
import { newestState, saveState } from "../../src/train/checkpoints.ts";
import { batches } from "../../src/train/data.ts";
import type { TrainingState } from "../../src/train/trainer.ts";
import { sampleText } from "../support/models.ts";

const config = { vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 24 };
const model = initialModel(config, { seed: 1 });
const tokens = sampleText(600);
const size = { batchSize: 2, sequenceLength: 7, seed: 3 };
const heldOutText = tokens.subarray(500);
const name = "model.layers.0.mlp.gate_proj.weight";
const settings = {
  quantizer: "hestia",
  groupSize: 8,
  steps: 7,
  learningRate: 0.05,
  annealing: { hardSteps: 2 },
} as const satisfies TrainOptions;

/** Trains, and returns the loss of each step. */
async function losses(options: Partial<TrainOptions>, start = 0): Promise<number[]> {
  const found: number[] = [];
  for await (const event of train(model, batches(tokens, { ...size, start }), { ...settings, ...options })) {
    if (event.type === "step") found.push(event.lossNats);
  }
  return found;
}

Deno.test("a model is measured as it would ship, and training does not change by it", async () => {
  const points: Omit<HeldOutPoint, "model" | "state" | "best">[] = [];
  const wanted: typeof points = [];
  const heldOut = { everySteps: 3, text: () => heldOutText, batchSize: 2, sequenceLength: 7 };
  const watched = await losses({
    heldOut,
    statistics: { everySteps: 2, onStatistics() {} },
    onEvaluation: ({ step, lossNats, latentLossNats }) => void points.push({ step, lossNats, latentLossNats }),
    async observe({ step, model }) {
      if (![3, 6, 7].includes(step)) return;
      const [shipped, latent] = await Promise.all(
        [roundedModel(model), model].map((each) => heldOutLoss(each, heldOutText, heldOut)),
      );
      wanted.push({ step, lossNats: shipped.lossNats, latentLossNats: latent.lossNats });
    },
  });
  deepEqual(points, wanted);
  deepEqual(points.map(({ step }) => step), [3, 6, 7]);
  ok(points.every(({ lossNats, latentLossNats }) => Math.abs(lossNats - latentLossNats!) > 1e-4), "they are two models");
  deepEqual(watched, await losses({}));
});

Deno.test("what a training that was ended left unmeasured is measured where it goes on", async () => {
  const heldOut = { everySteps: 3, text: heldOutText, batchSize: 2, sequenceLength: 7 };
  const alone: number[][] = [];
  await losses({ heldOut, onEvaluation: ({ step, lossNats }) => void alone.push([step, lossNats]) });
  const ending = new AbortController();
  const points: number[][] = [];
  const onEvaluation = ({ step, lossNats }: HeldOutPoint) => void points.push([step, lossNats]);
  const folder = await Deno.makeTempDir();
  await losses({
    ...{ heldOut, onEvaluation, signal: ending.signal },
    observe: ({ step }) => step === 6 ? ending.abort() : undefined, // before step 6 is measured
    onCheckpoint: async (state) => await saveState(folder, state).written,
  });
  deepEqual(points.map(([step]) => step), [3]);
  const { state } = (await newestState(folder))!;
  await losses({ heldOut: { ...heldOut, measured: 3 }, onEvaluation, state }, 6);
  deepEqual(points, alone);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("patience ends a training behind its best step, and at once where it goes on", async () => {
  const seen: [number, number][] = [];
  const states: TrainingState[] = [];
  const heldOut = { everySteps: 1, text: heldOutText, batchSize: 2, sequenceLength: 7, patience: 2 };
  const rates = { learningRate: 3, schedule: { warmupSteps: 0 } } as const; // it only gets worse
  const found = await losses({
    ...rates,
    heldOut,
    steps: 40,
    onEvaluation: ({ step, best }) => void seen.push([step, best.step]),
    onCheckpoint: (state) => void states.push(state),
  });
  const [last, best] = seen.at(-1)!;
  equal(last - best, 2);
  ok(last < 40 && seen.slice(0, -1).every(([step, best]) => step - best < 2));
  equal(found.length, last);
  equal(states.at(-1)!.step, last);
  deepEqual(await losses({ ...rates, steps: 40, heldOut: { ...heldOut, best: { step: -2, lossNats: 0 } } }), []);
  await rejects(() => losses({ heldOut: { ...heldOut, everySteps: 0 } }), /every 0 steps.*at least 1/);
});

Deno.test("statistics of each tensor are those of its codes, scales and moments", async () => {
  const told: StepStatistics[] = [];
  const codes: number[][] = [];
  let near = 0, scale = 0;
  const squares: Record<number, number> = {};
  await losses({
    statistics: { everySteps: 3, onStatistics: (now) => void told.push(now) },
    checkpointEvery: 1,
    async onCheckpoint({ step, moments }) {
      const values = [...await moments.second[name].data()];
      squares[step] = Math.sqrt(values.reduce((sum, value) => sum + value, 0) / (1 - 0.95 ** step));
    },
    async observe({ step, model }) {
      if (![1, 3, 6].includes(step)) return;
      const weight = [...await model.parameters[name].data()];
      const scales = Array.from(
        { length: weight.length / 8 },
        (_, group) => weight.slice(8 * group, 8 * group + 8).reduce((sum, value) => sum + Math.abs(value), 0) / 8 + 1e-5,
      );
      const units = weight.map((value, at) => value / scales[Math.floor(at / 8)]);
      codes.push(units.map((unit) => Math.min(1, Math.max(-1, Math.round(unit)))));
      near = units.filter((unit) => Math.abs(Math.abs(unit) - 0.5) < 0.05).length / units.length;
      scale = scales.reduce((sum, value) => sum + value, 0) / scales.length;
    },
  });
  deepEqual(told.map(({ step }) => step), [1, 3, 6]);
  const [first, second, third] = told.map(({ tensors }) => tensors[name]);
  const share = (of: number) => codes[2].filter((code) => code === of).length / codes[2].length;
  const flips = (a: number, b: number) => codes[a].filter((code, at) => code !== codes[b][at]).length / codes[a].length;
  equal(first.flips, undefined);
  ok(third.flips! > 0);
  const close = (found: readonly number[], wanted: readonly number[]) =>
    found.forEach((value, at) =>
      ok(Math.abs(value - wanted[at]) < 1e-4 * Math.abs(wanted[at]) + 1e-7, `${found}, wanted ${wanted}`)
    );
  close(third.shares!, [share(-1), share(0), share(1)]);
  close([second.flips!, third.flips!], [flips(0, 1), flips(1, 2)]);
  close([third.nearBorder!, third.scale!], [near, scale]);
  close(told.map(({ tensors }) => tensors[name].gradientNorm), [1, 3, 6].map((step) => squares[step]));
  ok(first.temperature! > 0);
  equal(third.temperature, 0);
  deepEqual(Object.keys(told[0].tensors["model.norm.weight"]), ["gradientNorm"]);
});

Deno.test("every quantizer that ternary files hold has statistics, whatever it learns besides", async () => {
  const all = (Object.keys(quantizers) as QuantizerName[]).filter((name) => quantizers[name].ternary);
  const names = Deno.env.get("HESTIA_DEEP") === "1" ? all : all.filter((name) => ["lsq", "seq"].includes(name));
  ok(names.length >= 2, all.join());
  for (const quantizer of names) {
    const told: StepStatistics[] = [];
    const plan = { everySteps: 1, onStatistics: (now: StepStatistics) => void told.push(now) };
    await losses({ quantizer, groupSize: 0, steps: 2, annealing: {}, statistics: plan });
    const { shares, flips, nearBorder, scale } = told[1].tensors[name];
    ok(Math.abs(shares!.reduce((sum, share) => sum + share) - 1) < 1e-6 && scale! > 0, `${quantizer}: ${shares}, ${scale}`);
    ok(flips! >= 0 && flips! <= 1 && nearBorder! >= 0 && nearBorder! < 1, `${quantizer}: ${flips}, ${nearBorder}`);
  }
});
