/**
 * What the adapter can do at best: a copy and a loop of multiply-adds, without the library.
 *
 * @module
 */

import type { Runner, Work } from "./measure.ts";

const workgroup = 256;

const buffers = `
@group(0) @binding(0) var<storage, read> input: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4f>;`;

const copiedBytes = 2 ** 26;

const chains = 8; // that do not wait for one another
const turns = 128;
const computedQuads = 2 ** 18;
const names = Array.from({ length: chains }, (_, chain) => `a${chain}`);
const multiplyAddShader = `${buffers}
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = input[id.x];
  ${names.map((name, chain) => `var ${name} = factor + ${chain}.0;`).join(" ")}
  for (var turn = 0u; turn < ${turns}u; turn++) { ${names.map((name) => `${name} = ${name} * factor + factor;`).join(" ")} }
  output[id.x] = ${names.join(" + ")};
}`;

let opened: Promise<GPUDevice> | undefined;

async function openDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("Cannot measure the ceilings: no WebGPU adapter");
  return await adapter.requestDevice();
}

/** Runs a shader from one buffer to another, one invocation for four numbers. */
async function shaderRunner(code: string, quads: number): Promise<Runner> {
  const device = await (opened ??= openDevice());
  device.pushErrorScope("validation");
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code }) } });
  const pair = [0, 1].map(() => device.createBuffer({ size: 16 * quads, usage: GPUBufferUsage.STORAGE }));
  const entries = pair.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const bindings = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const error = await device.popErrorScope();
  if (error) throw new Error(`Cannot measure the ceilings: ${error.message}`);
  const run = () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(quads / workgroup);
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
  return { run, done: () => device.queue.onSubmittedWorkDone() };
}

/** Copies a buffer to another without a shader, which on a software driver would be a measure of its loads and stores. */
async function copyRunner(): Promise<Runner> {
  const device = await (opened ??= openDevice());
  const [from, to] = [GPUBufferUsage.COPY_SRC, GPUBufferUsage.COPY_DST].map((usage) =>
    device.createBuffer({ size: copiedBytes, usage })
  );
  const run = () => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, copiedBytes);
    device.queue.submit([encoder.finish()]);
  };
  return { run, done: () => device.queue.onSubmittedWorkDone() };
}

/** Other works are held against the one of the same unit. */
export const ceilings: readonly Work[] = [
  {
    name: "ceiling: copy of 64 MiB",
    amount: { bytes: 2 * copiedBytes },
    prepare: copyRunner,
  },
  {
    name: "ceiling: multiply-adds",
    amount: { flop: 2 * 4 * chains * turns * computedQuads },
    prepare: () => shaderRunner(multiplyAddShader, computedQuads),
  },
];
