import {
  backendInfo,
  type BackendOptions,
  batchAt,
  compile,
  gradients,
  initialModel,
  type LlamaConfig,
  type ProgramBytes,
  type Tensor,
  tensor,
  useBackend,
} from "../../mod.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { parameterShapes } from "../../src/llama/parameters.ts";
import { adamw } from "../../src/optim/adamw.ts";
import { languageModelLoss, tokenTensors } from "../../src/pipeline/data.ts";
import { disposeAll } from "../../src/train/trainer.ts";
import { equal, ok } from "../assert.ts";
import { noise } from "../support/numbers.ts";
import { sampleText } from "../support/models.ts";

type Named = Readonly<Record<string, Tensor>>;

/** Bytes of storage buffers and textures that are made while `work` runs. */
async function allocatedBy(work: () => Promise<void>): Promise<number> {
  const { createBuffer, createTexture } = GPUDevice.prototype;
  let bytes = 0;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    if (descriptor.usage & GPUBufferUsage.STORAGE) bytes += descriptor.size;
    return createBuffer.call(this, descriptor);
  };
  GPUDevice.prototype.createTexture = function (descriptor) {
    const [width, height] = descriptor.size as number[];
    bytes += width * height * 16;
    return createTexture.call(this, descriptor);
  };
  try {
    await work();
  } finally {
    Object.assign(GPUDevice.prototype, { createBuffer, createTexture });
  }
  return bytes;
}

/** A device on which nothing is allocated yet. */
async function freshDevice(limits: BackendOptions["limits"] = {}): Promise<void> {
  await useBackend("reference");
  await useBackend("webgpu", { limits });
}

/** Parameters that are on the host when a step begins. */
function mapShapes(config: LlamaConfig, fill: (length: number, seed: number) => Float32Array<ArrayBuffer>): Named {
  const shapes = Object.entries(parameterShapes(config));
  return Object.fromEntries(shapes.map(([name, shape], seed) => [name, tensor(fill(sizeOf(shape), seed), { shape })]));
}

const sizes = { vocabularySize: 259, hiddenSize: 72, layers: 4, heads: 2, keyValueHeads: 1, intermediateSize: 200 };

/** A training step of a model whose lengths are awkward, and what it starts from. */
function trainingStep(config: LlamaConfig, recomputeEvery: number) {
  const run = compile((inputs: { parameters: Named; first: Named; second: Named; batch: Named }) => {
    const { parameters, first, second, batch } = inputs;
    const loss = languageModelLoss(config, parameters, batch, { recomputeEvery });
    const slopes = gradients(loss, Object.values(parameters));
    const named = Object.fromEntries(Object.keys(parameters).map((name, index) => [name, slopes[index]]));
    const state = { parameters, gradients: named, moments: { first, second }, step: 1 };
    return { loss, ...adamw(state, { learningRate: 0 }) };
  }, { donate: ["parameters", "first", "second"] });
  const batch = tokenTensors(batchAt(sampleText(500), { batchSize: 3, sequenceLength: 37, seed: 1, step: 0 }));
  const stored = () => mapShapes(config, (length, seed) => noise(length, { seed, low: -0.1, high: 0.1 }));
  const zeros = () => mapShapes(config, (length) => new Float32Array(length));
  return { run, inputs: { parameters: stored(), first: zeros(), second: zeros(), batch } };
}

Deno.test("a step allocates to the byte what its plan says, and the plan of a step that recomputes says less", async () => {
  const { config } = initialModel(sizes, { seed: 1 });
  const totals: number[] = [];
  const small = { maxBindingBytes: 2 ** 15, maxBufferBytes: 2 ** 16 }; // less than the table, its gradient, and some matrices
  for (const [recomputeEvery, limits] of [[0], [2], [1], [2, small]] as const) {
    await freshDevice(limits);
    const { run, inputs } = trainingStep(config, recomputeEvery);
    const { statistics } = await backendInfo();
    const before = statistics.bytesHeld;
    let bytes: ProgramBytes | undefined;
    const allocated = await allocatedBy(async () => {
      bytes = await run.bytes(inputs);
      const { loss, gradientNorm, parameters, moments } = run(inputs);
      disposeAll([loss, gradientNorm, parameters, moments]);
    });
    equal(allocated, bytes!.total);
    equal(statistics.bytesHeld - before, bytes!.total, "as the device counts");
    equal(bytes!.total, bytes!.arguments + bytes!.results + bytes!.scratch + bytes!.textures);
    totals.push(bytes!.scratch);
  }
  ok(totals[1] < 0.9 * totals[0] && totals[2] < totals[1], `${totals} bytes of scratch`);
  ok(totals[3] < 1.5 * totals[1], `${totals[3]} bytes of scratch where tensors are cut`);
});

Deno.test("a second run allocates nothing, nor does another program that fits into the same memory", async () => {
  await freshDevice();
  const x = tensor(new Float32Array(40 * 40), { shape: [40, 40] });
  const deep = compile(({ x }: { x: Tensor }) => x.matmul(x).exp().matmul(x).sum());
  deep({ x }).dispose();
  const shallow = compile(({ x }: { x: Tensor }) => x.matmul(x).exp().sum());
  equal(
    await allocatedBy(() => {
      deep({ x }).dispose();
      shallow({ x }).dispose();
      return Promise.resolve();
    }),
    0,
  );
});

Deno.test("the reference backend plans no memory", async () => {
  await useBackend("reference");
  equal(await compile(({ x }: { x: Tensor }) => x.add(1)).bytes({ x: tensor([1]) }), undefined);
  await useBackend("webgpu");
});
