import { arange, realize, tensor, useBackend, zeros } from "../../mod.ts";
import { deepEqual, equal, match, ok, rejects } from "../assert.ts";

Deno.test("the reference backend computes in float64, a GPU in float32", async () => {
  await useBackend("reference");
  const wanted = await tensor([0.1]).add(0.2).data();
  ok(wanted instanceof Float64Array);
  equal(wanted[0], 0.1 + 0.2);
  await useBackend("webgpu");
  const actual = await tensor([0.1]).add(0.2).data();
  ok(actual instanceof Float32Array);
  equal(actual[0], Math.fround(Math.fround(0.1) + Math.fround(0.2)));
});

Deno.test("each backend says what it is", async () => {
  const reference = await useBackend("reference");
  deepEqual([reference.name, reference.description], ["reference", "float64 on the host, one thread"]);
  const webgpu = await useBackend("webgpu");
  equal(webgpu.name, "webgpu");
  match(webgpu.description, /\w/);
});

Deno.test("a fresh device holds nothing", async () => {
  await useBackend("reference");
  const { statistics } = await useBackend("webgpu");
  ok(Object.values(statistics).every((count) => count === 0));
});

for (const name of ["webgpu", "reference"] as const) {
  Deno.test(`data read are a copy of their own (${name})`, async () => {
    await useBackend(name);
    const x = tensor([1, 2]);
    (await x.data()).fill(9);
    deepEqual([...await x.data()], [1, 2]);
    const mine = Float32Array.of(1, 2);
    const copied = tensor(mine);
    mine.fill(9);
    deepEqual([...await copied.data()], [1, 2]);
  });

  Deno.test(`empty tensors are computed and read (${name})`, async () => {
    await useBackend(name);
    const nothing = zeros([0, 3]);
    const [data, sum, half] = await Promise.all([
      nothing.exp().data(),
      nothing.sum({ axes: 0 }).data(),
      nothing.cast("float16").data(),
    ]);
    deepEqual([data.length, [...sum], half.length], [0, [0, 0, 0], 0]);
  });
}

Deno.test("a tensor larger than one buffer is computed all the same", async () => {
  await useBackend("webgpu");
  const count = 36_000_000; // 144 MB, where the software driver binds 128 MiB
  using large = realize([arange([count], { dtype: "uint32" }).bitAnd(7)])[0];
  equal(await large.max().item(), 7);
  deepEqual([...await large.slice([count - 3]).data()], [5, 6, 7]);
  deepEqual([...await large.gather(tensor(Uint32Array.of(35_000_001, 3))).data()], [1, 3]);
});

Deno.test("a tensor of more elements than shaders count is refused with both numbers, and the device stays of use", async () => {
  await useBackend("webgpu");
  const count = 2 ** 33;
  await rejects(
    async () => await realize([zeros([count]).add(1)])[0].data(),
    /Cannot compute add over float32\[8589934592\]: it has 8589934592 elements, and a kernel counts 4294836225 at most/,
  );
  deepEqual([...await tensor([1]).add(1).data()], [2]);
});

Deno.test("a tensor copies an array, and has the array itself where it may", async () => {
  for (const name of ["reference", "webgpu"] as const) {
    await useBackend(name);
    const data = Float32Array.of(1, 2);
    const [copied, taken, converted] = [
      tensor(data),
      tensor(data, { copy: false }),
      tensor(Float64Array.of(3, 4), { dtype: "int32", copy: false }),
    ];
    data[0] = 5;
    deepEqual([...await copied.data(), ...await taken.data(), ...await converted.data()], [1, 2, 5, 2, 3, 4]);
  }
});
