/** What the compiler writes is valid to the browser's compiler of shaders, which checks more than Deno's: barriers must be uniform. */

import fc from "fast-check";
import { blockInputs, blockWorks } from "../../bench/block.ts";
import { crossEntropy, gradients, packedMatmul, quantizers, randomNormal, rmsNorm, type Tensor, tensor } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { shaders } from "../../src/kernels/shaders.ts";
import { packWeights } from "../../src/pack/packed_weight.ts";
import { deepEqual, ok } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { graphOf, leavesOf, randomPlan } from "../support/random_graph.ts";

/** What a compiler has to say, a line of source with each. */
async function complaint(device: GPUDevice, code: string, label: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  const rejected = await device.popErrorScope();
  const said = messages.map(({ lineNum, message }) => `${label}: ${message}: ${code.split("\n")[lineNum - 1]}`);
  return rejected && said.length === 0 ? [`${label}: ${rejected.message}`] : said;
}

async function complaints(codes: ReadonlyMap<string, string>): Promise<string[]> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  try {
    return (await Promise.all([...codes].map(([code, label]) => complaint(device, code, label)))).flat();
  } finally {
    device.destroy();
  }
}

function randomGraphs(): Tensor[][] {
  return fc.sample(randomPlan, { numRuns: 100, seed: 11 }).map((plan) => {
    const leaves = leavesOf(plan);
    const outputs = graphOf(plan, leaves);
    return plan.steps.length % 2 === 0 ? gradients(outputs.at(-1)!.mean(), leaves) : outputs;
  });
}

function quantized(): Tensor[][] {
  const weight = randomNormal([50, 64], { seed: 1 });
  const x = randomNormal([33, 64], { seed: 2 });
  const targets = tensor(Array.from({ length: 33 }, (_, at) => at), { dtype: "uint32" });
  return Object.values(quantizers).flatMap((quantizer) => {
    const state = { groupSize: quantizer.name.startsWith("fairy") ? 0 : 16, temperature: 0.1, pressure: 0.5 };
    const parameters = "parameters" in quantizer ? quantizer.parameters?.(weight, state) : undefined;
    const y = quantizer.quantize(weight, { ...state, parameters });
    const loss = crossEntropy(rmsNorm(x, x.slice([0, 0], [1, 64]).reshape([64])).matmul(y.transpose()), targets);
    return [[y], gradients(loss, [weight])];
  });
}

function packed(): Tensor[][] {
  const matrix = {
    rows: 40,
    columns: 128,
    groupSize: -1,
    codes: new Int8Array(40 * 128).fill(1),
    scales: new Float32Array(40).fill(0.5),
  };
  const plain = packWeights([matrix]);
  const dense = packWeights([matrix], { dense: true });
  return [1, 9].flatMap((rows) => {
    const x = randomNormal([rows, 128], { seed: rows });
    return [[packedMatmul(x, plain)], [packedMatmul(x, plain, { activations: "int8" })], [packedMatmul(x, dense)]];
  });
}

const works: Readonly<Record<string, () => Tensor[][]>> = {
  "a block and its derivatives": () => Object.values(blockWorks).map((work) => work(blockInputs())),
  "random graphs": randomGraphs,
  "every quantizer": quantized,
  "packed weights": packed,
};

Deno.test("every stored shader is valid here", async () => {
  deepEqual(await complaints(new Map(Object.entries(shaders).map(([name, code]) => [code, name]))), []);
});

for (const [name, work] of Object.entries(works)) {
  for (const texelReads of [true, false]) {
    Deno.test(`kernels of ${name} are valid here, ${texelReads ? "textures" : "buffers"} read`, async () => {
      const dispatches = work().flatMap((outputs) => lower(flat(outputs), { ...smallTarget, texelReads }).dispatches);
      ok(dispatches.length > 0);
      deepEqual(await complaints(new Map(dispatches.map(({ shader, label }) => [shader, label]))), []);
    });
  }
}

Deno.test("a shader that is not valid is found out", async () => {
  const code = `
var<workgroup> shared_sum: f32;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane == 0u) { workgroupBarrier(); }
  shared_sum = 1.0;
}`;
  ok((await complaints(new Map([[code, "a barrier in a branch"]])))[0].includes("uniform"));
});
