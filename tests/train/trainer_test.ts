import { backendInfo, type Tensor, tensor, useBackend } from "../../mod.ts";
import { disposeAll, initialState, type StepInputs, type TrainerOptions, trainSteps } from "../../src/train/trainer.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";

const loss: TrainerOptions["loss"] = ({ w }, { batch }) => w.sub(batch.target).square().mean();
const inputs = (step: number): StepInputs => ({ batch: { target: tensor([1, 2, step]) }, learningRate: 0.1 });
const start = () => initialState({ w: tensor([0, 0, 0]) });

/** Steps told, with how many had been queued by then. */
async function told(options: Omit<TrainerOptions, "loss" | "inputs">) {
  let queued = 0;
  const counted = (step: number) => {
    queued++;
    return inputs(step);
  };
  const results: { step: number; queued: number; lossNats: number }[] = [];
  const run = trainSteps(start(), { loss, inputs: counted, ...options });
  let next = await run.next();
  for (; !next.done; next = await run.next()) results.push({ step: next.value.step, queued, lossNats: next.value.lossNats });
  disposeAll(next.value);
  return { results, done: next.value.step };
}

Deno.test("the first step is told at once, the others while later ones are queued, all of them in order", async () => {
  await useBackend("webgpu");
  const { results, done } = await told({ steps: 12, readEvery: 4 });
  equal(done, 12);
  deepEqual(results.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  deepEqual(results.map(({ queued }) => queued), [1, 9, 9, 9, 9, 12, 12, 12, 12, 12, 12, 12]);
});

Deno.test("steps that take long are told of one by one", async () => {
  const slow = async (step: number) => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    return inputs(step);
  };
  const late: number[] = [];
  let queued = 0;
  const run = trainSteps(start(), { loss, steps: 7, inputs: (step) => (queued = step + 1, slow(step)) });
  let next = await run.next();
  for (; !next.done; next = await run.next()) late.push(queued - next.value.step);
  disposeAll(next.value);
  ok(late.length === 7 && late.every((steps) => steps <= 2), late.join());
});

Deno.test("how many steps are read together changes no digit, and a bundle takes one wait", async () => {
  const { statistics } = await backendInfo();
  const lossesOf = async (readEvery: number) => (await told({ steps: 9, readEvery })).results.map(({ lossNats }) => lossNats);
  const single = await lossesOf(1);
  const { readbacks } = statistics;
  deepEqual(await lossesOf(4), single);
  equal(statistics.readbacks - readbacks, 3, "the first step, and two bundles");
});

Deno.test("an interrupted run tells all steps that it made", async () => {
  const controller = new AbortController();
  const run = trainSteps(start(), {
    loss,
    steps: 100,
    readEvery: 4,
    signal: controller.signal,
    inputs(step) {
      if (step === 6) controller.abort();
      return inputs(step);
    },
  });
  const steps: number[] = [];
  let next = await run.next();
  for (; !next.done; next = await run.next()) steps.push(next.value.step);
  deepEqual([steps, next.value.step], [[1, 2, 3, 4, 5, 6, 7], 7]);
});

Deno.test("a loss that is not finite is named by its step, however late it is read", async () => {
  const bad = (step: number): StepInputs => ({ ...inputs(step), batch: { target: tensor([step === 2 ? Infinity : 1, 2, 3]) } });
  const steps: number[] = [];
  await rejects(async () => {
    for await (const { step } of trainSteps(start(), { loss, inputs: bad, steps: 30, readEvery: 4 })) steps.push(step);
  }, /Training diverged at step 3: /);
  deepEqual(steps, [1, 2]);
});

Deno.test("what a step needs of the device's memory is told once", async () => {
  const told: number[] = [];
  for await (const _ of trainSteps(start(), { loss, inputs, steps: 5, onMemory: ({ total }) => told.push(total) }));
  ok(told.length === 1 && told[0] >= 4 * 256, `${told}`);
});

Deno.test("a run that is left early leaves no failure behind", async () => {
  const w: Tensor = tensor([0, 0, 0]);
  for await (const { step } of trainSteps(initialState({ w }), { loss, inputs, steps: 40, readEvery: 2 })) if (step === 5) break;
  equal((await tensor([1]).data())[0], 1);
});

for (const backend of ["reference", "webgpu"] as const) {
  for (const pieces of [1, 2]) {
    Deno.test(`a step whose loss or gradient is not finite changes nothing, in ${pieces} pieces (${backend})`, async () => {
      await useBackend(backend);
      const lossOf: TrainerOptions["loss"] = ({ w, v }, { batch }) =>
        w.mul(batch.target).abs().sqrt().sum().add(v.square().sum());
      const batchOf = (values: number[]) => Array.from({ length: pieces }, () => ({ target: tensor(values) }));
      // a root of zero has an infinite gradient; NaN in the data makes both NaN; the loss alone overflows at last
      for (const values of [[1, 0, 1], [1, NaN, 1], [1, Infinity, 2]]) {
        const seen: number[][] = [];
        const initial = initialState({ w: tensor([1, 2, 3]), v: tensor([1, 1]) });
        await rejects(async () => {
          const run = trainSteps(initial, {
            loss: lossOf,
            steps: 3,
            inputs: (step) => ({ batch: batchOf(step === 1 ? values : [1, 1, 1]), learningRate: 0.1 }),
            observe: async ({ parameters, moments, step }) => {
              const list = [parameters, moments.first, moments.second].flatMap((record) => Object.values(record));
              seen[step] = (await Promise.all(list.map(async (each) => [...await each.data()]))).flat();
            },
          });
          for await (const _ of run);
        }, /Training diverged at step 2: loss .*No parameter was changed by it, all are finite. Lower the learning rate \(0.1\)/);
        deepEqual(seen[2], seen[1]);
        ok(seen[3].some((value, index) => value !== seen[2][index]));
      }
    });
  }
}

Deno.test("steps whose loss is not finite are skipped and told, and too many in a row end the run", async () => {
  await useBackend("webgpu");
  const wild = new Set([2, 3, 6, 7, 8]);
  for (const optimizer of [{}, { clipBy: "before" as const }]) {
    const told: string[] = [];
    const values: number[][] = [];
    const run = trainSteps(start(), {
      ...{ loss, optimizer, steps: 12, mostSkips: 2, readEvery: 2 },
      inputs: (step) => ({ ...inputs(step), batch: { target: tensor([wild.has(step + 1) ? NaN : 1, 2, 3]) } }),
      observe: async ({ parameters, step }) => void (values[step] = [...await parameters.w.data()]),
    });
    await rejects(async () => {
      for await (const { step, skipped } of run) told.push(`${step}${skipped ? " skipped" : ""}`);
    }, /Training diverged at step 8: loss NaN, .*all are finite; 3 steps in a row were skipped\. Lower/);
    deepEqual(told, ["1", "2 skipped", "3 skipped", "4", "5", "6 skipped", "7 skipped"]);
    deepEqual([values[2], values[3]], [values[1], values[1]]);
    ok(values[4].every((value, index) => value !== values[1][index]), "what was skipped does not hold up the next step");
  }
});

Deno.test("the first gradient that is not finite is named where training diverges", async () => {
  await useBackend("webgpu");
  const run = trainSteps(initialState({ v: tensor([1, 2]), w: tensor([1, 0, 3]), u: tensor([0]) }), {
    loss: ({ v, w, u }) => v.square().sum().add(w.sqrt().sum()).add(u.sqrt().sum()), // a root of zero has an infinite gradient
    inputs: () => ({ batch: {}, learningRate: 0.1 }),
    ...{ steps: 9, mostSkips: 1 },
  });
  await rejects(async () => {
    for await (const _ of run);
  }, /diverged at step 2: .* all are finite; the gradient of "w" holds Infinity at 1; 2 steps in a row were skipped\. Lower/);
});

Deno.test("a parameter that is not finite is named where training diverges", async () => {
  await useBackend("webgpu");
  const run = trainSteps(initialState({ w: tensor([0, NaN, 0]) }), { loss, inputs, steps: 2 });
  await rejects(async () => {
    for await (const _ of run);
  }, /Training diverged at step 1: .* The parameter "w" holds NaN at 1; wanted finite numbers/);
});

Deno.test("what waits for a step aside takes nothing off the time that the step is told to take", async () => {
  await useBackend("webgpu");
  const square = () => tensor(new Float32Array(400 * 400), { shape: [400, 400] });
  const run = trainSteps(initialState({ w: square() }), {
    loss: ({ w }, { batch }) => w.matmul(batch.x).matmul(w).square().mean(),
    steps: 8,
    readEvery: 1,
    inputs: () => ({ batch: { x: square() }, learningRate: 0.1 }),
    observe: async ({ step, parameters }) => void (step % 3 === 0 && await parameters.w.data()),
  });
  const seconds: number[] = [];
  let next = await run.next();
  for (; !next.done; next = await run.next()) seconds.push(next.value.seconds);
  disposeAll(next.value);
  const sorted = seconds.slice(1).sort((a, b) => a - b);
  ok(sorted[0] > 0.2 * sorted[3], seconds.join()); // it was a hundredth
});
