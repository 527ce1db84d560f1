import { causalAttention, gradients, llama, randomNormal, tensor, useBackend } from "../../mod.ts";
import { throws } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { close } from "../support/numbers.ts";

const documents = [[72, 101, 7, 9, 1], [200, 3, 55, 72, 101, 7, 9], [44]]; // the second repeats the first
const ids = documents.flat();
const numbers = documents.flatMap((document, index) => document.map(() => index + 5));

for (const backend of ["webgpu", "reference"] as const) {
  Deno.test(`documents in one sequence are computed as if each stood alone, gradients too (${backend})`, async () => {
    await useBackend(backend);
    const model = tinyModel({ layers: 1 });
    const parameters = ["model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight"].map((name) =>
      model.parameters[name]
    );
    const row = (values: readonly number[]) => tensor(Uint32Array.from(values), { shape: [1, values.length] });
    const packed = llama(model, row(ids), { documents: row(numbers) });
    const alone = documents.map((document) => llama(model, row(document)));
    const logits = await packed.data();
    close(logits, (await Promise.all(alone.map((each) => each.data()))).flatMap((each) => [...each]), { absolute: 2e-4 });
    const slopes = gradients(packed.square().mean(), parameters);
    const total = alone.map((each) => each.square().sum()).reduce((sum, each) => sum.add(each)).div(packed.size);
    const wanted = gradients(total, parameters);
    for (const [index, slope] of slopes.entries()) close(await slope.data(), await wanted[index].data(), { absolute: 1e-4 });
  });
}

Deno.test("attention within documents says what it wants", () => {
  const q = randomNormal([2, 2, 3, 4], { seed: 1 });
  const attend = (documents: ReturnType<typeof tensor>, offset = 0) => () => causalAttention(q, q, q, { documents, offset });
  throws(attend(tensor([[0, 0, 0], [0, 0, 0]])), /within the documents float32\[2,3\]: wanted int32 or uint32 \[2, 3\]/);
  throws(attend(tensor(new Uint32Array(3))), /wanted int32 or uint32 \[2, 3\], one for each query/);
  throws(attend(tensor(new Uint32Array(6), { shape: [2, 3] }), 1), /wanted as many keys as queries, and no offset/);
});
