/** Trials on the adapter at hand: programs against each other, and through the runtime. */

import { compile, fastestKernels, type Tensor, tensor, useBackend } from "../../mod.ts";
import type { Backend } from "../../src/backend/backend.ts";
import type { Program } from "../../src/core/program.ts";
import { deepEqual, equal, match, ok, rejects } from "../assert.ts";
import { withCache } from "../support/cache.ts";
import { noise } from "../support/numbers.ts";

/** A program that changes 16384 numbers, by a line of WGSL that sees them as `x[i]`. */
function program(line: string, { lanes = 64, copies = 1 } = {}): Program {
  const shader = `
    override LANES: u32 = 64;
    @group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(LANES)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      let i = id.x;
      for (var copy = 0u; copy < ${copies}u; copy++) { ${line} }
    }`;
  const length = 2 ** 14;
  const bindings = [{ slot: { kind: "input", index: 0 }, access: "write" }] as const;
  const grid = [length / lanes, 1, 1] as const;
  return {
    dispatches: [{ label: "test", shader, overrides: { LANES: lanes }, bindings, params: new Uint32Array(0), grid }],
    inputBytes: [4 * length],
    outputs: [{ bytes: 4 * length, donor: 0 }],
    scratchBytes: [],
    released: [],
  };
}

Deno.test("programs are timed if they give the same bits, and refused ones are no failure", async () => {
  const device = await useBackend("webgpu") as Backend;
  const held = device.statistics.bytesHeld;
  const times = await device.time!([
    program("x[i] = x[i] * 0.5 + 1;"),
    program("x[i] = x[i] * 0.5 + 1;", { lanes: 256 }),
    program("x[i] = select(x[i], x[i] * 0.5 + 1, copy == 0u) + 0 * sin(x[i]);", { copies: 300 }),
    program("x[i] = x[i] * 0.5 + 1.0000001;"),
    program("x[i] = x[i] * 0.5 + 1;", { lanes: 2 ** 20 }),
    program("x[i] = no such thing;"),
  ]);
  deepEqual(times.map((seconds) => seconds === undefined), [false, false, false, true, true, true]);
  ok(times.slice(0, 3).every((seconds) => seconds! > 0), `${times}`);
  ok(times[2]! > 2 * times[0]!, `300 turns take longer than one: ${times}`);
  ok(device.statistics.bytesHeld <= held, "trials leave no memory behind");
  deepEqual([...await tensor([1, 2]).mul(2).data()], [2, 4]);
});

Deno.test("trials of more memory than a gigabyte are left out", async () => {
  const device = await useBackend("webgpu") as Backend;
  deepEqual(await device.time!([{ ...program("x[i] = 1;"), inputBytes: [2 ** 30 + 4] }]), [undefined]);
});

/** A step whose product is large enough for trials, of two kernels, and small enough for a test. */
function makeStep() {
  return compile(({ x, y, w }: Record<"x" | "y" | "w", Tensor>) => ({ product: x.matmul(y).tanh(), w: w.mul(2) }), {
    donate: ["w"],
  });
}

const data = () => ({
  x: tensor(noise(2 ** 19, { seed: 1 }), { shape: [16, 2 ** 15] }),
  y: tensor(noise(2 ** 20, { seed: 2 }), { shape: [2 ** 15, 32] }),
});
const wanted = "matmul 16x32x32768 N4N4";

Deno.test("the first use of a shape waits for trials, everything comes in order, and the choice is remembered", async () => {
  await useBackend("webgpu"); // before the driver's cache is elsewhere
  const warnings = await withCache(async (folder) => {
    const results: Float32Array[] = [];
    for (const tune of [false, true, true]) {
      const { statistics } = await useBackend("webgpu", { tune });
      const step = makeStep();
      const { x, y } = data();
      const before = statistics.pipelinesCreated;
      const first = step({ x, y, w: tensor([1, 2]) });
      const [read, waited] = [first.w.data(), tune && results.length === 1];
      await Promise.resolve(); // reads of one turn are queued at its end
      const second = step({ x, y, w: first.w }); // overwrites what is read above
      deepEqual([await read, await second.w.data()].map((each) => [...each]), [[2, 4], [4, 8]]);
      await rejects(first.w.data(), { message: /disposed, or donated/ });
      results.push(await second.product.data() as Float32Array);
      if (waited) ok(statistics.pipelinesCreated > before, "trials compile kernels");
      const known = [...await fastestKernels()].filter(([shapeClass]) => shapeClass === wanted);
      equal(known.length, tune ? 1 : 0);
      for (const each of [x, y, first.product, second.product, second.w]) each.dispose();
    }
    results.forEach((result) => deepEqual(result, results[0], "the same bits however kernels are chosen"));
    match(await Deno.readTextFile(`${folder}/hestia/tuning.json`), new RegExp(`"${wanted}": "matmul_\\w+"`));
  });
  deepEqual(warnings, []);
});

Deno.test("a kernel that does not exist is refused, and what was said before stays", async () => {
  await useBackend("webgpu", { tune: false });
  await rejects(useBackend("webgpu", { tune: "matmul_fast" }), { message: /matmul_fast.*there are .*matmul_general/ });
  deepEqual([...await tensor([1, 2]).mul(3).data()], [3, 6]);
});
