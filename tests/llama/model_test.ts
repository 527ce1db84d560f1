import { compile, type Tensor, tensor } from "../../mod.ts";
import { emptyCache, type KeyValueCache } from "../../src/llama/cache.ts";
import { head, llama, llamaCached } from "../../src/llama/model.ts";
import { initialModel, initialParameters, isNorm, parameterShapes, quantizedNames } from "../../src/llama/parameters.ts";
import { rotaryTable } from "../../src/nn/rotary.ts";
import { deepEqual, equal, throws } from "../assert.ts";
import { close } from "../support/numbers.ts";
import { sampleText, tinyConfig, tinyModel } from "../support/models.ts";

const model = tinyModel();

Deno.test("decoding with a cache gives the logits of the whole forward pass", async () => {
  const text = Uint32Array.from(sampleText(30));
  const whole = await llama(model, tensor(text, { shape: [1, 30] })).data();
  const rotary = rotaryTable({ headDim: 16, theta: 10_000, scaling: tinyConfig.ropeScaling, length: 32 });
  const step = compile(({ ids, position, cache }: { ids: Tensor; position: Tensor; cache: KeyValueCache }) => {
    const after = llamaCached(model, ids, { cache, position: position.cast("uint32"), rotary });
    return { logits: head(model, after.hidden), cache: after.cache };
  }, { donate: ["cache"] });
  let cache = emptyCache(tinyConfig, { length: 32 });
  for (let position = 0; position < text.length;) {
    const count = position < 16 ? 8 : 1; // two chunks, then token by token
    const ids = tensor(text.slice(position, position + count), { shape: [1, count] });
    const result = step({ ids, position, cache });
    cache = result.cache;
    const wanted = whole.slice(position * 256, (position + count) * 256);
    close(await result.logits.data(), wanted, { relative: 1e-4, absolute: 1e-4, says: `logits at ${position}` });
    position += count;
  }
});

Deno.test("a token does not see what follows it", async () => {
  const logits = async (text: string) =>
    (await llama(model, tensor(Uint32Array.from(new TextEncoder().encode(text)), { shape: [1, 8] })).data()).slice(0, 5 * 256);
  close(await logits("Call me "), await logits("Call xyz"), { says: "logits of the common part" });
});

Deno.test("a head of its own takes the place of the embedding", async () => {
  const own = tinyModel({ tieEmbeddings: false });
  const table = own.parameters["lm_head.weight"];
  const ids = tensor(Uint32Array.of(1, 2), { shape: [1, 2] });
  const doubled = { ...own, parameters: { ...own.parameters, "lm_head.weight": table.mul(2) } };
  const single = await llama(own, ids).data();
  close(await llama(doubled, ids).data(), single.map((value: number) => 2 * value), { relative: 1e-5, absolute: 1e-5 });
});

Deno.test("projections go through the seam, by the names of their weights", () => {
  const asked: string[] = [];
  const project = (name: string, x: Tensor) => (asked.push(name), x.matmul(model.parameters[name].transpose()));
  equal(`${llama(model, tensor(Uint32Array.of(1, 2, 3), { shape: [1, 3] }), { project })}`, "float32[1,3,256]");
  deepEqual(asked.sort(), quantizedNames(tinyConfig).sort());
});

Deno.test("fresh parameters have the shapes of the names, and depend on the seed alone", async () => {
  const [a, b] = [1, 1].map((seed) => initialParameters(tinyConfig, { seed }));
  deepEqual(Object.fromEntries(Object.entries(a).map(([name, { shape }]) => [name, shape])), parameterShapes(tinyConfig));
  const [first, second] = await Promise.all([a, b].map((parameters) => parameters["model.layers.1.mlp.up_proj.weight"].data()));
  deepEqual(first, second);
  deepEqual(new Set(await a["model.norm.weight"].data()), new Set([1]));
  equal(Object.keys(a).filter(isNorm).length, 5);
});

Deno.test("sizes, numbers and seeds of a new model are what they may be", () => {
  const sizes = { vocabularySize: 8, hiddenSize: 4, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 4 };
  for (const [name, value] of [["normEpsilon", NaN], ["normEpsilon", 0], ["ropeTheta", -1], ["maxPositions", 0.5]] as const) {
    const says = new RegExp(`Cannot make a model with the ${name} ${value}: wanted`);
    throws(() => initialModel({ ...sizes, [name]: value }, { seed: 1 }), says);
  }
  for (const seed of [-1, NaN, 2 ** 32]) {
    throws(() => initialModel(sizes, { seed }), /model with the seed .*: wanted an integer from 0/);
  }
  throws(() => initialModel(sizes, { seed: 1, deviation: NaN }), /deviation NaN/);
});

Deno.test("ids that do not fit are refused where the model is called", () => {
  throws(
    () => llama(model, tensor([1, 2], { dtype: "uint32" })),
    /Cannot run the model on uint32\[2\]: wanted token ids \[batch, tokens\]/,
  );
  const long = tensor(new Uint32Array(257), { shape: [1, 257] });
  throws(() => llama(model, long), /Cannot run the model on 257 tokens: its context ends at 256/);
});
