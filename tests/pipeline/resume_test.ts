import { initialModel } from "../../src/llama/parameters.ts";
import { train, type TrainEvent, type TrainOptions } from "../../src/pipeline/train.ts";
import { tensor } from "../../src/create.ts";
import type { Tensor } from "../../src/tensor.ts";
import { newestState, saveState } from "../../src/train/checkpoints.ts";
import { batches } from "../../src/train/data.ts";
import type { TrainingState } from "../../src/train/trainer.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const model = initialModel(
  { vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 24 },
  { seed: 5, deviation: 0.1 },
);
const tokens = sampleText(500);
const size = { batchSize: 2, sequenceLength: 7, seed: 3 };

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

type End = Extract<TrainEvent, { type: "end" }>;

/** Losses and norms of the steps that a training runs, and what it ends with. */
async function run(options: TrainOptions): Promise<{ steps: unknown[]; end: End }> {
  const steps: unknown[] = [];
  let end: End | undefined;
  for await (const event of train(model, batches(tokens, { ...size, start: options.state?.step }), options)) {
    if (event.type === "end") end = event;
    else steps.push((({ tokensPerSecond: _, ...told }) => told)(event));
  }
  return { steps, end: end! };
}

/** Every bit of what was trained. */
async function weights({ model, quantization }: End): Promise<Record<string, ArrayLike<number>>> {
  const all: Record<string, Tensor> = { ...model.parameters, ...quantization?.parameters };
  return Object.fromEntries(await Promise.all(Object.entries(all).map(async ([name, value]) => [name, await value.data()])));
}

const recipes: Record<string, Omit<TrainOptions, "steps">> = {
  "full precision": {},
  "hestia, its hard steps included": { quantizer: "hestia", groupSize: 8, annealing: { hardSteps: 2 } },
  "lsq, whose steps are learned": { quantizer: "lsq", groupSize: 0 },
  "moments in bfloat16, clipped by the norm of the step before, layers computed again": {
    ...{ quantizer: "hestia", groupSize: 8, annealing: { hardSteps: 2 }, recomputeEvery: 1 },
    optimizer: { moments: "bfloat16", clipBy: "before" },
  },
  "pieces of a batch": { quantizer: "ternary", groupSize: 8, microBatches: 2 },
};

for (const [title, recipe] of Object.entries(recipes)) {
  Deno.test(`a training that is stopped and goes on is one that was left alone, to the last bit: ${title}`, () =>
    inFolder(async (folder) => {
      const options = { ...recipe, steps: 6, schedule: { warmupSteps: 2 } };
      const alone = await run(options);
      const wanted = await weights(alone.end);
      for (const stop of [1, 3, 4, 5]) {
        const own = `${folder}/${stop}`;
        const controller = new AbortController();
        const stopped = await run({
          ...options,
          signal: controller.signal,
          observe: ({ step }) => step === stop ? controller.abort() : undefined,
          onCheckpoint: async (state) => await saveState(own, state).written,
        });
        deepEqual(stopped.steps, alone.steps.slice(0, stop));
        const { state } = (await newestState(own))!;
        equal(state.step, stop);
        const resumed = await run({ ...options, state });
        deepEqual(resumed.steps, alone.steps.slice(stop));
        deepEqual(await weights(resumed.end), wanted);
      }
    }));
}

Deno.test("checkpoints come when they are asked for, after the events of their steps, and once at the end", async () => {
  const told: (number | string)[] = [];
  const onCheckpoint = ({ step }: TrainingState) => void told.push(`saved ${step}`);
  for (const checkpointEvery of [2, (step: number) => step === 1 || step === 3, undefined]) {
    for await (const event of train(model, batches(tokens, size), { steps: 4, onCheckpoint, checkpointEvery })) {
      told.push(event.type === "step" ? event.step : "end");
    }
  }
  deepEqual(told, [
    ...[1, 2, "saved 2", 3, 4, "saved 4", "end"],
    ...[1, "saved 1", 2, 3, "saved 3", 4, "saved 4", "end"],
    ...[1, 2, 3, 4, "saved 4", "end"],
  ]);
});

Deno.test("a state of other parameters, or of a later step, is refused", () =>
  inFolder(async (folder) => {
    await run({ steps: 2, onCheckpoint: async (state) => await saveState(folder, state).written });
    const state = async () => (await newestState(folder))!.state;
    await rejects(run({ steps: 1, state: await state() }), /Cannot go on from a state of step 2: wanted at most 1, the steps of/);
    await rejects(
      run({ steps: 4, quantizer: "lsq", groupSize: 0, state: await state() }),
      /Cannot go on from a state of step 2: "model\.layers\.0.*#.*" is undefined, wanted float32\[1\]/,
    );
    for (const step of [NaN, -1, 1.5]) {
      await rejects(run({ steps: 4, state: { ...await state(), step } }), /Cannot go on from a state of step .*: wanted/);
    }
    const edited = await state();
    const name = "model.norm.weight";
    const second = { ...edited.moments.second, [name]: tensor([NaN, ...new Array(15).fill(1)]) };
    await rejects(
      run({ steps: 4, state: { ...edited, moments: { ...edited.moments, second } } }),
      /Cannot go on \(moments\): "model\.norm\.weight" holds NaN at 0/,
    );
    await Deno.rename(`${folder}/step-00000002`, `${folder}/step-00000003`);
    await rejects(newestState(folder), /step-00000003": it was written after step 2, and its name says 3/);
    await Deno.rename(`${folder}/step-00000003`, `${folder}/step-00000002`);
    const { steps } = await run({ steps: 2, state: await state() });
    deepEqual(steps, []); // all were done
  }));

Deno.test("the newest state that is whole is taken, damaged ones are named, and old ones go", () =>
  inFolder(async (folder) => {
    const saved: unknown[] = [];
    await run({
      steps: 5,
      checkpointEvery: 1,
      onCheckpoint: async (state) => {
        const { read, written } = saveState(folder, state, { keep: 3, info: { seconds: state.step / 2 } });
        await read;
        await written;
        saved.push(state.step);
      },
    });
    deepEqual(saved, [1, 2, 3, 4, 5]);
    const names = () => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    deepEqual(names(), ["step-00000003", "step-00000004", "step-00000005"]);
    equal((await newestState(folder))!.info.seconds, 2.5);
    const file = await Deno.open(`${folder}/step-00000005/state.safetensors`, { read: true, write: true });
    await file.seek(-1, Deno.SeekMode.End);
    await file.write(new Uint8Array([77]));
    file.close();
    await Deno.truncate(`${folder}/step-00000004/state.safetensors`, 100);
    await Deno.mkdir(`${folder}/.writing-1234/x`, { recursive: true });
    const damaged: string[] = [];
    const { state } = (await newestState(folder, (reason) => damaged.push(reason)))!;
    equal(state.step, 3);
    ok(/^step-00000005: state\.safetensors has other bytes than were written$/.test(damaged[0]), damaged[0]);
    ok(/^step-00000004: state\.safetensors has 100 bytes, wanted \d+$/.test(damaged[1]), damaged[1]);
    ok(!names().includes(".writing-1234"));
    await Deno.remove(`${folder}/step-00000003/checkpoint.json`);
    equal(await newestState(folder), undefined);
    equal(await newestState(`${folder}/none`), undefined);
  }));
