import { shaderModule } from "../shaders/generate.ts";
import { lower } from "../src/compile/lower.ts";
import { flattenGraph } from "../src/compile/flatten.ts";
import { shaders } from "../src/kernels/shaders.ts";
import * as attention from "../src/kernels/attention.ts";
import * as hestia from "../src/kernels/hestia.ts";
import { matmulKernels } from "../src/kernels/matmul.ts";
import { scatterAddBinding } from "../src/kernels/scatter_add.ts";
import * as packed from "../src/kernels/packed.ts";
import * as softmax from "../src/kernels/softmax.ts";
import { writeRowsBinding } from "../src/kernels/write_rows.ts";
import { tensor } from "../mod.ts";
import { deepEqual, equal, match, ok } from "./assert.ts";

const stored = Object.entries(shaders);

Deno.test("src/kernels/shaders.ts is what shaders/*.wgsl say (run `deno task shaders`)", async () => {
  equal(await Deno.readTextFile(new URL("../src/kernels/shaders.ts", import.meta.url)), await shaderModule());
});

Deno.test("every shader begins with a comment that says what it computes", () => {
  for (const [name, text] of stored) match(text, /^\/\/ .{30,}\n/, name);
});

Deno.test("every shader has one entry point, named main", () => {
  for (const [name, text] of stored) {
    deepEqual(text.match(/@compute[^{]*?fn \w+/g)?.map((entry) => entry.split(" ").at(-1)), ["main"], name);
  }
});

Deno.test("every shader compiles as stored", async () => {
  const adapter = await navigator.gpu?.requestAdapter();
  ok(adapter, "wanted a WebGPU adapter");
  const device = await adapter.requestDevice();
  for (const [name, code] of stored) {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code });
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const { messages } = await module.getCompilationInfo();
    deepEqual(messages.map(({ type, lineNum, message }) => `${name}.wgsl:${lineNum}: ${type}: ${message}`), []);
    equal((await device.popErrorScope())?.message, undefined, name);
  }
  device.destroy();
});

Deno.test("every shader is used by a kernel", () => {
  const bindings = [attention, hestia, softmax, packed].flatMap((module) => Object.values(module))
    .filter((value) => typeof value === "object" && "kernels" in value)
    .concat(
      scatterAddBinding,
      writeRowsBinding,
    );
  const kernels = [...matmulKernels, ...bindings.flatMap(({ kernels }) => kernels)].map(({ source }) => source);
  const generated = generatedShaders();
  for (const [name, text] of stored) {
    const [heading] = text.split("\n");
    ok(kernels.includes(text) || generated.some((shader) => shader.includes(heading)), `${name}.wgsl is used by no kernel`);
  }
});

/** What the compiler makes of the templates. */
function generatedShaders(): string[] {
  const x = tensor([1, 2, 3]);
  const { graph } = flattenGraph(
    [
      tensor([1, 2]).exp(),
      x.sum(),
      tensor([[1, 2], [3, 4]]).softmax(),
      x.reshape([3, 1]).expand([3, 999]).sum({ axes: 1 }),
    ].map(({ node }) => node),
    [],
    new Set(),
  );
  const limits = { maxBindingBytes: 2 ** 27, maxStorageBuffers: 8, maxTextures: 4, maxWorkgroups: 65_535 };
  return lower(graph, { limits, float16: false, texelReads: false, packedDots: true }).dispatches.map(({ shader }) => shader);
}
