import { gradients, type Tensor, tensor, useBackend } from "../../mod.ts";
import { integer, integerCodes } from "../../src/quant/integer.ts";
import { deepEqual, throws } from "../assert.ts";
import { close } from "../support/numbers.ts";

const read = async (x: Tensor) => Array.from(await x.data());

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`integer() rounds half to even, to symmetric or asymmetric codes (${backend})`, async () => {
    await useBackend(backend);
    const w = tensor([[7, -2.5, 0.5, 1.5], [-3, 0, 0, 12]]);
    deepEqual((await read(integer(w, { bits: 4, groupSize: -1 }))).slice(0, 4).map((x) => x + 0), [7, -2, 0, 2]);
    deepEqual((await read(integer(w, { bits: 4, groupSize: -1, symmetric: false }))).slice(4).map((x) => x + 0), [-3, 0, 0, 12]);
    const upstream = tensor([[1, 2, 3, 4], [5, 6, 7, 8]]);
    const [slope] = gradients(integer(w, { bits: 2, groupSize: 2 }).mul(upstream).sum(), [w]);
    deepEqual(await read(slope), await read(upstream));
  });
}

Deno.test("integer() keeps groups of one sign, which the published code cuts off", async () => {
  await useBackend("reference");
  const w = tensor([[1, 2, 3, 4]]);
  close(await read(integer(w, { bits: 4, symmetric: false })), [1, 2, 3, 4], { absolute: 0.134 });
  close(await read(integer(w, { bits: 4, symmetric: false, includeZero: false })), [1, 2, 3, 3], { absolute: 1e-12 });
  deepEqual(await read(integerCodes(tensor([[0, 0]]), { bits: 2 }).codes), [0, 0]);
});

Deno.test("integer() refuses bits out of range", () => {
  throws(() => integer(tensor([1]), { bits: 1 }), /to 1 bits: wanted an integer from 2 to 8/);
});
