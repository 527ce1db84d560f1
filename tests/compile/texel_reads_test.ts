import { type Tensor, tensor } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import type { Dispatch } from "../../src/core/program.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { differences } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";

const filled = (...shape: number[]): Tensor =>
  tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.7)), { shape });
const ids = tensor(Uint32Array.from({ length: 160 }, (_, i) => (i * 7) % 200));

function dispatchesOf(outputs: readonly Tensor[], donated: readonly Tensor[] = []): readonly Dispatch[] {
  return lower(flat(outputs, donated), { ...smallTarget, texelReads: true }).dispatches;
}

/** Texels of each input that is read from a texture. */
function texelsOf(outputs: readonly Tensor[], donated: readonly Tensor[] = []): number[] {
  return dispatchesOf(outputs, donated).flatMap(({ bindings }) => bindings.flatMap(({ texels }) => texels ?? []));
}

/** Sentences about which inputs are read from textures. */
const choices: Record<string, [texels: number[], outputs: () => Tensor[]]> = {
  "a large input": [[4096], () => [filled(16_384).exp()]],
  "a small input": [[], () => [filled(16_380).exp()]],
  "a small input that is read for many elements": [[4096, 32], () => [filled(128, 128).mul(filled(128))]],
  "elements that do not fill texels": [[], () => [filled(16_387).exp()]],
  "integers": [[], () => [tensor(new Uint32Array(16_384)).bitXor(1)]],
  "a small part of a large input": [[], () => [filled(256, 256).slice([0, 0], [65, 256]).exp()]],
  "numbers that are rounded to float16": [[4096], () => [filled(16_384).cast("float16").cast("float32").mul(2)]],
  "what a reduction combines": [[8192], () => [filled(8192, 4).sum({ axes: 1 })]],
  "the first stage of a long reduction": [[25_000], () => [filled(100_000).sum().add(filled(4))]],
};

for (const [says, [texels, outputs]] of Object.entries(choices)) {
  Deno.test(`${says}: ${texels.length === 0 ? "no texture" : `textures of ${texels.join(" and ")} texels`}`, () => {
    deepEqual(texelsOf(outputs()), texels);
  });
}

Deno.test("an input that is overwritten in place is read from its copy", () => {
  const [w, g] = [filled(128, 128), filled(16_384)];
  const [{ bindings }] = dispatchesOf([w.sub(g.reshape([128, 128]).mul(0.1))], [w]);
  deepEqual(bindings.map(({ access, texels }) => [access, texels]), [["read", 4096], ["read", 4096], ["write", undefined]]);
});

Deno.test("a kernel reads no more textures than the device offers", () => {
  const limits = { ...smallTarget.limits, maxStorageBuffers: 40 };
  const sum = Array.from({ length: 30 }, () => filled(16_384)).reduce((a, b) => a.add(b));
  const [{ bindings }] = lower(flat([sum]), { limits, float16: false, texelReads: true, packedDots: true }).dispatches;
  equal(bindings.filter(({ texels }) => texels).length, limits.maxTextures);
});

Deno.test("where textures do not repay, nothing reads them", () => {
  const x = filled(128, 128);
  const { dispatches } = lower(flat([x.exp().matmul(x.transpose()).sum({ axes: 0 })]), smallTarget);
  ok(dispatches.every(({ shader, bindings }) => !shader.includes("texture_2d") && bindings.every(({ texels }) => !texels)));
  match(dispatchesOf([x.matmul(x)])[0].label, /texture/);
});

/** Every way in which generated kernels load. */
function loads(): Record<string, Tensor> {
  const [x, y, odd] = [filled(160, 128), filled(128, 160), filled(161, 127)];
  const image = filled(4, 40, 128);
  return {
    map: x.exp().mul(x).add(1),
    transposed: x.add(y.transpose()),
    broadcast: x.mul(filled(128)).add(filled(160, 1)),
    padded: image.pad([1, 3, 4], [2, 1, 4]).mul(2),
    shifted: image.pad([0, 0, 1], [0, 0, 2]).add(1),
    sliced: image.slice([1, 2, 3], [4, 40, 127]).exp(),
    flipped: x.flip(1).add(x),
    gathered: filled(200, 128).gather(ids).mul(x),
    odd: odd.mul(odd),
    evenOfOdd: filled(164, 127).slice([1, 0], [162, 127]).add(odd),
    inner: x.sum({ axes: 1 }),
    outer: x.square().max({ axes: 0 }),
    middle: image.mul(2).sum({ axes: 1 }),
    long: filled(200_000).square().sum().sqrt(),
    softmax: x.softmax(0),
    product: x.matmul(y).add(1).matmul(x),
    half: filled(4, 40, 128).cast("float16"),
  };
}

Deno.test("results are the same read from textures and from buffers", async () => {
  const names = Object.keys(loads());
  const [textures, buffers] = [
    await runLowered(Object.values(loads()), { texelReads: true }),
    await runLowered(Object.values(loads()), { texelReads: false }),
  ];
  deepEqual(differences(names, textures, buffers), []);
  ok(texelsOf(Object.values(loads())).length > 20);
});
