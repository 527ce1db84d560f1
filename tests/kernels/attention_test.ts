import { causalAttention, gradients, hessianVectorProduct, type Shape, type Tensor, tensor, useBackend } from "../../mod.ts";
import { lower, type LowerOptions } from "../../src/compile/lower.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { registerVariants } from "../../src/kernels/attention.ts";
import { deepEqual, ok } from "../assert.ts";
import { differences, read } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { noise } from "../support/numbers.ts";

/** Sizes of one attention. */
interface Sizes {
  readonly batch?: number;
  readonly heads?: number;
  readonly keyValueHeads?: number;
  readonly queries: number;
  readonly keys?: number;
  readonly headDim: number;
  readonly offset?: number;
}

const random = (shape: Shape, seed: number) => tensor(noise(sizeOf(shape), { seed })).reshape(shape);

function inputsOf({ batch = 1, heads = 1, keyValueHeads = 1, queries, keys = queries, headDim }: Sizes): Tensor[] {
  const shapes = [[batch, heads, queries, headDim], [batch, keyValueHeads, keys, headDim], [batch, keyValueHeads, keys, headDim]];
  return shapes.map((shape, seed) => random(shape, seed + 1).mul(2));
}

/** A scalar whose gradients with respect to the result are all different. */
const lossOf = (y: Tensor) => y.mul(random(y.shape, 9)).sum().add(y.square().sum());

/** Value and derivatives of the first and second order, by name. */
function derived(sizes: Sizes): Record<string, Tensor> {
  const inputs = inputsOf(sizes);
  const y = causalAttention(inputs[0], inputs[1], inputs[2], { offset: sizes.offset });
  const loss = lossOf(y);
  const directions = inputs.map(({ shape }, seed) => random(shape, seed + 20));
  const named = (name: string, tensors: readonly Tensor[]) =>
    tensors.map((x, k) => [`${name} ${k} of ${JSON.stringify(sizes)}`, x]);
  return Object.fromEntries([
    ...named("value", [y]),
    ...named("gradient", gradients(loss, inputs)),
    ...named("product", hessianVectorProduct(loss, inputs, directions)),
  ]);
}

const isDeep = Deno.env.get("HESTIA_DEEP") === "1";

const cases: readonly Sizes[] = [
  { queries: 1, headDim: 4 },
  { queries: 5, headDim: 20, heads: 3 },
  { queries: 17, headDim: 64, heads: 3, batch: 2 },
  { queries: 33, headDim: 4, heads: 6, keyValueHeads: 2, batch: 2 },
  { queries: 70, headDim: 36, heads: 2, keyValueHeads: 2 },
  ...isDeep ? [{ queries: 9, headDim: 128, heads: 2 }] : [], // drivers take seconds to compile its kernels
  { queries: 1, keys: 65, headDim: 8, heads: 4, keyValueHeads: 2, offset: 40 },
  { queries: 6, keys: 50, headDim: 12, heads: 3, offset: 33 },
  { queries: 3, keys: 3, headDim: 8, offset: 7 },
  { queries: 37, headDim: 8, heads: 4, keyValueHeads: 2, batch: 2 },
];

/** How attention is computed, and the widest heads that it is computed for: drivers take seconds to compile long loops. */
const ways: Readonly<Record<string, LowerOptions & { readonly texelReads: boolean; readonly widest: number }>> = {
  "products and a softmax": { texelReads: true, fused: false, widest: 128 },
  "tiles in workgroup memory": { texelReads: false, widest: 128 },
  "lines in registers": { texelReads: true, variant: registerVariants, widest: isDeep ? 64 : 12 },
};

for (const [way, { widest, ...options }] of Object.entries(ways)) {
  Deno.test(`attention by ${way}: values, gradients and their derivatives agree with float64 at awkward sizes`, async () => {
    for (const sizes of cases.filter(({ headDim }) => headDim <= widest)) {
      await useBackend("reference");
      const expected = await read(Object.values(derived(sizes)));
      await useBackend("webgpu");
      const built = derived(sizes);
      const actual = await runLowered(Object.values(built), options);
      deepEqual(differences(Object.keys(built), actual, expected, { relative: 1e-4 }), []);
    }
  });
}

const program = (outputs: readonly Tensor[], options: { texelReads: boolean }) =>
  lower(flat(outputs), { ...smallTarget, ...options });

for (
  const [texelReads, labels] of [
    [false, ["attention_forward", "attention_backward", "attention_backward_keys"]],
    [true, ["attention_forward_texture", "attention_backward_texture", "attention_backward_texture_keys"]],
  ] as const
) {
  const way = texelReads ? "lines in registers" : "tiles in workgroup memory";
  Deno.test(`attention with ${way}: one kernel forward, two back, no scores, no copies of heads`, () => {
    const [batch, heads, queries, headDim] = [2, 4, 128, 16];
    const inputs = [heads, 2, 2].map((count, seed) => random([batch, queries, count, headDim], seed));
    const [q, k, v] = inputs.map((x) => x.transpose([0, 2, 1, 3]));
    const y = causalAttention(q, k, v).transpose([0, 2, 1, 3]);
    const { dispatches, scratchBytes } = program(gradients(y.mul(random(y.shape, 5)).sum(), inputs), { texelReads });
    deepEqual(dispatches.map(({ label }) => label).filter((label) => label.startsWith("attention")), [...labels]);
    const scores = 4 * batch * heads * queries * queries;
    ok(Math.max(...scratchBytes) < scores / 2, `${scratchBytes}`);
  });
}

Deno.test("small attention, and that of a single query, are products and a softmax where textures are read", () => {
  for (const queries of [1, 16]) {
    const [q, k, v] = inputsOf({ queries, keys: queries === 1 ? 4096 : 16, headDim: 64, heads: 8, keyValueHeads: 2 });
    const labels = program([causalAttention(q, k, v)], { texelReads: true }).dispatches.map(({ label }) => label);
    ok(labels.some((label) => label.startsWith("causal_softmax")), `${labels}`);
  }
});

for (const options of [{ texelReads: false }, { texelReads: true, variant: registerVariants }]) {
  const way = options.texelReads ? "registers" : "tiles";
  Deno.test(`attention in ${way} never looks at keys beyond the last query, whatever a cache holds there`, async () => {
    await useBackend("webgpu");
    const [q, k, v] = inputsOf({ queries: 2, keys: 40, headDim: 8 });
    const visible = tensor(Uint8Array.from({ length: 40 }, (_, key) => key < 7 ? 1 : 0)).reshape([1, 1, 40, 1]);
    const hide = (x: Tensor) => visible.equal(1).expand(x.shape).where(x, 1e30);
    const outputs = [causalAttention(q, k, v, { offset: 5 }), causalAttention(q, hide(k), hide(v), { offset: 5 })];
    const [wanted, got] = await runLowered(outputs, options);
    deepEqual(got, wanted);
  });
}
