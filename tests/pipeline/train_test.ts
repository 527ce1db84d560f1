import { initialModel, quantizedNames } from "../../src/llama/parameters.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { pack } from "../../src/pipeline/pack.ts";
import { planTraining } from "../../src/pipeline/plan.ts";
import { train, type TrainedModel, type TrainEvent, type TrainOptions } from "../../src/pipeline/train.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import type { ProgramBytes } from "../../src/core/program.ts";
import { backendInfo, useBackend } from "../../src/runtime.ts";
import { type Batch, batches } from "../../src/train/data.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const sizes = { vocabularySize: 256, hiddenSize: 32, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 };
const model = () => initialModel(sizes, { seed: 3, deviation: 0.1 });
const data = () => batches(sampleText(600), { batchSize: 2, sequenceLength: 12, seed: 1 });

async function run(options: TrainOptions, from = model(), batchesOf = data): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of train(from, batchesOf(), options)) events.push(event);
  return events;
}
const steps = (events: readonly TrainEvent[]) => events.filter((event) => event.type === "step");

Deno.test("train() lowers the loss, and leaves the model that it starts from as it was", async () => {
  await useBackend("webgpu");
  const from = model();
  const before = await from.parameters["model.embed_tokens.weight"].data();
  const events = steps(await run({ steps: 40, learningRate: 1e-2 }, from));
  deepEqual(events.map(({ step }) => step), Array.from({ length: 40 }, (_, index) => index + 1));
  ok(events.at(-1)!.lossNats < events[0].lossNats - 1);
  deepEqual(await from.parameters["model.embed_tokens.weight"].data(), before);
});

Deno.test("train() anneals: pressure rises, temperature falls, the last steps are hard, and the weights end near their codes", async () => {
  await useBackend("webgpu");
  const events = await run({ steps: 20, learningRate: 1e-2, quantizer: "hestia", groupSize: 32, annealing: { hardSteps: 4 } });
  const told = steps(events);
  deepEqual([told[0].pressure, told.at(-1)!.pressure], [0, 1]);
  told.slice(1).forEach((event, index) => ok(event.temperature! <= told[index].temperature!));
  deepEqual(told.slice(-4).map(({ temperature }) => temperature), [0, 0, 0, 0]);
  const end = events.at(-1)!;
  ok(end.type === "end" && end.quantization?.quantizer === "hestia");
  const name = "model.layers.0.mlp.up_proj.weight";
  const rounded = await roundedModel({ ...end.model, quantization: end.quantization }).parameters[name].data();
  const row = [...rounded.slice(0, 32)];
  equal(new Set(row.map(Math.abs).filter((value) => value !== 0)).size, 1); // one scale for each group of 32
});

Deno.test("with scales in float16 the packed weights are the trained ones, to the bit", async () => {
  await useBackend("webgpu");
  const from = initialModel({ ...sizes, hiddenSize: 64, intermediateSize: 64 }, { seed: 3, deviation: 0.1 });
  for (const quantizer of ["hestia", "ternary"] as const) {
    const options = {
      steps: 4,
      learningRate: 1e-2,
      quantizer,
      groupSize: 64,
      annealing: { hardSteps: 1 },
      scaleDtype: "float16",
    } as const;
    const end = (await run(options, from)).at(-1)!;
    ok(end.type === "end" && end.quantization?.scaleDtype === "float16");
    const trained = { ...end.model, quantization: end.quantization, tokenizer: byteTokenizer };
    const packed = await openPacked(await pack(trained));
    for (const name of quantizedNames(from.config)) {
      deepEqual(await packed.parameters[name].data(), await roundedModel(trained).parameters[name].data(), name);
    }
  }
  await rejects(
    () => run({ steps: 1, quantizer: "twn", groupSize: 32, scaleDtype: "float16" }),
    /Cannot train with scales in float16/,
  );
});

Deno.test("train() holds memory steady, and from the second step on compiles and allocates nothing", async () => {
  await useBackend("webgpu");
  const counts: Record<string, number>[] = [];
  for await (const event of train(model(), data(), { steps: 30, quantizer: "hestia", groupSize: 32 })) {
    if (event.type === "step") counts.push({ ...(await backendInfo()).statistics });
  }
  for (const counter of ["pipelinesCreated", "buffersCreated", "bytesHeld"]) {
    equal(counts[29][counter], counts[12][counter], counter);
  }
});

Deno.test("a loop that is left early frees what was trained", async () => {
  await useBackend("webgpu");
  let latent: TrainedModel | undefined;
  const observe = ({ model }: { model: TrainedModel }) => void (latent = model);
  for await (const event of train(model(), data(), { steps: 30, observe })) if (event.type === "step" && event.step === 3) break;
  for (const [name, value] of Object.entries(latent!.parameters)) await rejects(value.data(), /disposed/, name);
});

Deno.test("layers that are computed again take less memory, and train the same", async () => {
  await useBackend("webgpu");
  const from = initialModel({ ...sizes, layers: 4 }, { seed: 3, deviation: 0.1 });
  const long = () => batches(sampleText(600), { batchSize: 2, sequenceLength: 96, seed: 1 }); // activations outweigh parameters
  const results = [];
  for (const recomputeEvery of [0, 2, 1]) {
    let bytes = 0;
    const onMemory = ({ total }: ProgramBytes) => bytes = total;
    const told = steps(await run({ steps: 3, quantizer: "ternary", groupSize: 32, recomputeEvery, onMemory }, from, long));
    results.push({ bytes, losses: told.map(({ lossNats }) => lossNats) });
  }
  const [kept, half, none] = results;
  ok(half.bytes < kept.bytes && none.bytes < half.bytes, `${results.map(({ bytes }) => bytes)} bytes`);
  for (const { losses } of [half, none]) {
    losses.forEach((loss, index) => ok(Math.abs(loss - kept.losses[index]) < 1e-4, `${loss}`));
  }
});

Deno.test("gradients are clipped by the norm of the step before where asked, those of the first step by their own", async () => {
  await useBackend("webgpu");
  const run3 = async (optimizer: TrainOptions["optimizer"]) => steps(await run({ steps: 3, learningRate: 1e-2, optimizer }));
  const [own, before] = [await run3({ clipNorm: 0.1 }), await run3({ clipNorm: 0.1, clipBy: "before" })];
  deepEqual(before.slice(0, 2).map(({ lossNats }) => lossNats), own.slice(0, 2).map(({ lossNats }) => lossNats)); // one update
  ok(
    before[1].gradientNorm !== before[0].gradientNorm && before[2].lossNats !== own[2].lossNats,
    "the second was by the first's norm",
  );
});

Deno.test("a model that is donated is trained in its own memory, and cannot be used afterwards", async () => {
  await useBackend("webgpu");
  const { statistics } = await backendInfo();
  const end = async (donate: boolean) => {
    const from = initialModel({ ...sizes, hiddenSize: 128, intermediateSize: 128 }, { seed: 3, deviation: 0.1 });
    await from.parameters["model.norm.weight"].data();
    const before = statistics.bytesHeld;
    const told = steps(await run({ steps: 2, donate }, from));
    return { from, losses: told.map(({ lossNats }) => lossNats), bytes: statistics.bytesHeld - before };
  };
  await end(true); // buffers that both need are there
  const [kept, given] = [await end(false), await end(true)];
  deepEqual(given.losses, kept.losses);
  await rejects(given.from.parameters["model.norm.weight"].data(), /disposed, or donated/);
  equal((await kept.from.parameters["model.norm.weight"].data()).length, 128);
});

Deno.test("the plan of a training is what it is told to need, to the byte", async () => {
  await useBackend("webgpu");
  for (
    const options of [
      { quantizer: "hestia", groupSize: 32, annealing: { hardSteps: 1 }, recomputeEvery: 1 },
      { quantizer: "lsq", groupSize: 0, optimizer: { moments: "bfloat16", clipBy: "before" } },
      { quantizer: "ternary", groupSize: 32, microBatches: 2 },
    ] as const
  ) {
    const told: number[] = [];
    await run({ ...options, steps: 3, onMemory: ({ total }) => void told.push(total) });
    const { phases, parameters, quantized } = await planTraining(model().config, {
      ...{ batchSize: 2, sequenceLength: 12 },
      training: options,
      calibration: {},
    });
    const training = phases.find(({ phase }) => phase === "training")!;
    equal(training.program.total, Math.max(...told), JSON.stringify(options));
    equal(training.base, 4 * parameters);
    ok(quantized < parameters);
    deepEqual(phases.map(({ phase }) => phase), ["calibration", "training", "evaluation"]);
  }
});

Deno.test("moments in bfloat16 take half of their memory, and train nearly the same", async () => {
  await useBackend("webgpu");
  const results = [];
  for (const moments of ["float32", "bfloat16"] as const) {
    let bytes = 0;
    const onMemory = (each: ProgramBytes) => bytes = each.arguments;
    const told = steps(await run({ steps: 20, learningRate: 1e-2, optimizer: { moments }, onMemory }));
    results.push({ bytes, losses: told.map(({ lossNats }) => lossNats) });
  }
  const [single, half] = results;
  const parameters = Object.values(model().parameters).reduce((sum, { size }) => sum + size, 0);
  ok(single.bytes - half.bytes > 0.95 * 4 * parameters, `${single.bytes} and ${half.bytes} bytes, ${parameters} parameters`);
  equal(half.losses[0], single.losses[0]);
  half.losses.forEach((loss, index) => ok(Math.abs(loss - single.losses[index]) < 0.03, `${loss}, ${single.losses[index]}`));
});

Deno.test("train() takes batches that are promised, one step ahead, and none too many", async () => {
  await useBackend("webgpu");
  let [asked, closed] = [0, false];
  async function* promised() {
    try {
      for (const batch of data()) {
        asked++;
        await new Promise((resolve) => setTimeout(resolve, 1));
        yield batch;
      }
    } finally {
      closed = true;
    }
  }
  const options = { steps: 7, quantizer: "hestia", groupSize: 32, annealing: { hardSteps: 3 } } as const;
  const losses = async (source: () => Iterable<Batch> | AsyncIterable<Batch>) => {
    const told: number[] = [];
    for await (const event of train(model(), source(), options)) if (event.type === "step") told.push(event.lossNats);
    return told;
  };
  deepEqual(await losses(promised), await losses(data));
  deepEqual([asked, closed], [7, true]);
  const failing = async function* () {
    yield data().next().value!;
    throw new Error("the disk is gone");
  };
  await rejects(losses(failing), /the disk is gone/);
});

Deno.test("train() says what is wrong", async () => {
  await useBackend("webgpu");
  const short = Array.from({ length: 3 }, () => data().next().value);
  const told: (number | "end")[] = [];
  const few = async () => {
    for await (const event of train(model(), short, { steps: 5 })) told.push(event.type === "end" ? "end" : event.step);
  };
  await rejects(few, /Cannot train for 5 steps: the data ended after 3/);
  deepEqual(told, [1, 2, 3, "end"]); // what was done is not lost
  await rejects(
    () => run({ steps: 2, quantizer: "hestia", groupSize: 32, temperatureScales: { other: 1 } }),
    /Cannot scale the temperature of/,
  );
  await rejects(() => run({ steps: 2, quantizer: "ternary", groupSize: 7 }), /Cannot quantize float32\[.*\] in groups of 7/);
  await rejects(() => run({ steps: 30, learningRate: 1e30 }), /Training diverged at step \d+: .* Lower the learning rate/);
});
