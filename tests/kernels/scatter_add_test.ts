import { tensor, useBackend } from "../../mod.ts";
import { deepEqual } from "../assert.ts";

for (const name of ["webgpu", "reference"] as const) {
  Deno.test(`scatterAdd takes any number of indices (${name})`, async () => {
    await useBackend(name);
    const count = 140_001;
    const indices = tensor(Uint32Array.from({ length: count }, (_, i) => i % 3), { shape: [1, count] });
    const updates = tensor(Float32Array.from({ length: 2 * count }, (_, i) => i % 2), { shape: [1, count, 2] });
    deepEqual([...await updates.scatterAdd(indices, 4).data()], [0, count / 3, 0, count / 3, 0, count / 3, 0, 0]);
  });
}
