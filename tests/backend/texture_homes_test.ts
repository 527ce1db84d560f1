import { backendInfo, compile, tensor, useBackend } from "../../mod.ts";
import type { Backend } from "../../src/backend/backend.ts";
import { TEXEL_BYTES, TEXTURE_WIDTH } from "../../src/core/texels.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";

const [m, k, n] = [32, 64, 520]; // the right operand fills eight lines of a texture and a part of the ninth
const numbers = Float32Array.from({ length: k * n }, (_, i) => (i % 17) - 8);
const bytes = numbers.byteLength;
const lines = Math.ceil(bytes / TEXEL_BYTES / TEXTURE_WIDTH);

const product = compile(({ x, w }) => x.matmul(w));
const x = () => tensor(new Float32Array(m * k).fill(0.5), { shape: [m, k] });
const weight = () => tensor(numbers, { shape: [k, n] });

/** Sums of the columns of the weight, halved: each row of the product. */
const wanted = Array.from({ length: n }, (_, column) => {
  let sum = 0;
  for (let row = 0; row < k; row++) sum += numbers[row * n + column] / 2;
  return sum;
});

Deno.test("a weight that is read from textures alone lives in one, and comes back from it", async () => {
  const device = await useBackend("webgpu") as Backend;
  const w = weight();
  const before = device.statistics.bytesHeld;
  const result = product({ x: x(), w });
  deepEqual([...await result.data()], Array.from({ length: m }, () => wanted).flat());
  if (device.texelReads) ok(device.statistics.bytesHeld >= before + lines * TEXTURE_WIDTH * TEXEL_BYTES);
  deepEqual(await w.data(), numbers);
  const held = device.statistics.bytesHeld;
  w.dispose();
  if (device.texelReads) equal(device.statistics.bytesHeld, held - lines * TEXTURE_WIDTH * TEXEL_BYTES);
  await rejects(async () => await product({ x: x(), w }).data(), /disposed/);
});

Deno.test("what lives in a texture is used as any other tensor", async () => {
  await useBackend("webgpu");
  const w = weight();
  await product({ x: x(), w }).data();
  deepEqual(await w.add(1).data(), numbers.map((value) => value + 1)); // reads it otherwise, or from a copy
  deepEqual([...(await product({ x: x(), w }).data()).slice(0, n)], wanted);
  const doubled = compile(({ w }) => ({ w: w.mul(2) }), { donate: ["w"] });
  const taken = doubled({ w });
  deepEqual(await taken.w.data(), numbers.map((value) => value * 2));
  await rejects(async () => await w.data(), /disposed|donated/);
  deepEqual([...(await product({ x: x(), w: taken.w }).data()).slice(0, n)], wanted.map((value) => value * 2)); // from a buffer
});

Deno.test("replaying a product with a weight at home makes nothing new", async () => {
  await useBackend("webgpu");
  const w = weight();
  const input = x();
  for (let i = 0; i < 2; i++) (await product({ x: input, w }).data(), undefined);
  const { statistics } = await backendInfo();
  const { pipelinesCreated, bindGroupsCreated } = statistics;
  const result = product({ x: input, w });
  await result.data();
  equal(statistics.pipelinesCreated, pipelinesCreated);
  ok(statistics.bindGroupsCreated <= bindGroupsCreated + 1); // the result may get another buffer
});
