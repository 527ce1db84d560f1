/**
 * What the host spends: a replayed step, a graph built anew, a few tiny operations, each beside its floor, the same WebGPU calls and
 * nothing else. The device is idle at the start of each, and is not waited for.
 */

import { backendInfo, compile, gradients, realize, type Tensor, tensor, useBackend } from "../mod.ts";
import { table } from "../src/cli/table.ts";
import { disposeAll } from "../src/train/trainer.ts";

const rounds = 60;

/** `count` kernels, each of which needs the one before. */
function chain(x: Tensor, w: Tensor, count: number): Tensor {
  for (let index = 0; index < count; index++) x = x.matmul(w);
  return x;
}

/** Layers of tiny matrices, whose gradients make a graph of some thousand nodes. */
function deepLoss(x: Tensor, weights: readonly Tensor[]): Tensor {
  return weights.reduce((y, w) => y.matmul(w).tanh().mul(0.5).add(y), x).square().mean();
}

const matrix = (seed: number) => tensor(Float32Array.from({ length: 16 }, (_, k) => Math.sin(seed + k)), { shape: [4, 4] });

/** As many dispatches as a library's run makes, in one pass, of pipelines and bind groups that are there. */
async function rawDispatches(count: number): Promise<{ run: () => void; done: () => Promise<unknown> }> {
  const device = await (await navigator.gpu.requestAdapter())!.requestDevice();
  const usage = GPUBufferUsage.STORAGE;
  const buffers = Array.from({ length: 64 }, () => device.createBuffer({ size: 256, usage }));
  const code = (factor: number) => `
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    @group(0) @binding(1) var<storage, read> a: array<f32>;
    @group(0) @binding(2) var<storage, read> b: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = a[id.x] + b[id.x] * ${factor}.0; }`;
  const pipelines = Array.from({ length: 8 }, (_, factor) =>
    device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: code(factor) }), entryPoint: "main" },
    }));
  const launches = Array.from({ length: count }, (_, index) => {
    const pipeline = pipelines[index % pipelines.length];
    const entries = [0, 1, 2].map((binding) => ({
      binding,
      resource: { buffer: buffers[(index + 7 * binding) % buffers.length] },
    }));
    return { pipeline, group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }) };
  });
  const run = () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group } of launches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(1, 1, 1);
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
  return { run, done: () => device.queue.onSubmittedWorkDone() };
}

/** Waits for all that was queued, since reads are in order. */
async function settled(): Promise<void> {
  using fence = tensor([0]);
  await fence.data();
}

/** Milliseconds of one call. */
interface Row {
  readonly work: string;
  readonly dispatches: number;
  readonly best: number;
  readonly median: number;
  /** Best time of the same WebGPU calls alone. */
  readonly floor: number;
  readonly floorMedian: number;
}

/** Ours and the floor in turns. */
async function compare(ours: () => void): Promise<Omit<Row, "work">> {
  const { statistics } = await backendInfo();
  for (let warm = 0; warm < 20; warm++) ours();
  const before = statistics.dispatches;
  ours();
  const dispatches = statistics.dispatches - before;
  const floor = await rawDispatches(dispatches);
  const times: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  const timed = (work: () => void) => {
    const start = performance.now();
    work();
    return performance.now() - start;
  };
  for (let round = 0; round < rounds; round++) {
    await settled();
    times.ours.push(timed(ours));
    floor.run();
    await floor.done();
    times.floor.push(timed(floor.run));
    await floor.done();
  }
  const [[best, median], [floorBest, floorMedian]] = [times.ours, times.floor].map((list) => {
    const sorted = list.toSorted((a, b) => a - b);
    return [sorted[0], sorted[rounds >> 1]];
  });
  return { dispatches, best, median, floor: floorBest, floorMedian };
}

let report = ""; // of the last batch: Deno repeats a bench as often as it likes

Deno.bench("host overhead", { n: 1, warmup: 0 }, async () => {
  const { description } = await useBackend("webgpu");
  const [x, w] = [matrix(1), matrix(2)];
  const weights = Array.from({ length: 175 }, (_, k) => matrix(k));
  realize([x, w, ...weights]);
  const step = compile((inputs: { x: Tensor; w: Tensor }) => chain(inputs.x, inputs.w, 300));
  const works = {
    "a step of 300 dispatches, replayed": () => disposeAll(step({ x, w })),
    "a graph of 3000 nodes, built anew": () => disposeAll(realize(gradients(deepLoss(x, weights), weights))),
    "20 tiny operations, realized": () => {
      let y = x;
      for (let k = 0; k < 20; k++) y = k % 2 ? y.mul(0.5) : y.add(1);
      disposeAll(realize([y]));
    },
  };
  const rows: Row[] = [];
  for (const [work, run] of Object.entries(works)) rows.push({ work, ...await compare(run) });
  report = reportOf(rows, description);
});

globalThis.addEventListener("unload", () => console.log(report));

function reportOf(rows: readonly Row[], adapter: string): string {
  const digits = (value: number) => value.toFixed(3);
  const lines = rows.map(({ work, dispatches, best, median, floor, floorMedian }) => [
    work,
    `${dispatches}`,
    digits(best),
    digits(median),
    digits(floor),
    digits(best - floor),
    digits(floorMedian),
    digits(median - floorMedian),
  ]);
  return [
    `\n${adapter}: milliseconds of the host, best of ${rounds}\n`,
    table(["work", "dispatches", "best", "median", "floor", "above it", "its median", "above it"], lines),
    JSON.stringify({ bench: "overhead", adapter, rows }),
  ].join("\n");
}
