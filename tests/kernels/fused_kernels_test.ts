import {
  constant,
  crossEntropy,
  gradients,
  hessianVectorProduct,
  hestia,
  type HestiaOptions,
  rmsNorm,
  type Shape,
  type Tensor,
  tensor,
  useBackend,
} from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import type { Program, Slot } from "../../src/core/program.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { causalSoftmax } from "../../src/nn/fused.ts";
import { absmeanCodes } from "../../src/quant/codebook.ts";
import { applyFused } from "../../src/tensor.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { agree, differences, read } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { noise } from "../support/numbers.ts";

const random = (shape: Shape, seed: number) => tensor(noise(sizeOf(shape), { seed })).reshape(shape);
const integers = (length: number, below: number) => Int32Array.from({ length }, (_, i) => (7 * i + 3) % below);

/** A function of tensors that a kernel of its own computes. */
interface Layer {
  readonly says: string;
  /** Kernels of the forward pass and of the gradient; the compiler writes those that are not stored. */
  readonly kernels?: readonly string[];
  /** A size large enough for unrolled loops, where the last invocation has fewer rows than others. */
  readonly many?: readonly [rows: number, width: number];
  /** Differentiable inputs for rows of some width. */
  inputs(rows: number, width: number): Tensor[];
  apply(inputs: readonly Tensor[]): Tensor;
}

const relaxation = (
  says: string,
  { many, tiny, ...options }: Omit<HestiaOptions, "groupSize"> & { tiny?: boolean; many?: Layer["many"] },
): Layer => ({
  says,
  many,
  kernels: ["hestia_forward", "hestia_backward"],
  inputs: (rows, width) => [random([rows, width], 1).mul(tiny ? 1e-6 : 1), tensor(0.3), tensor(0.7)],
  apply([weight, temperature, pressure]) {
    return hestia(weight, { ...options, temperature, pressure, groupSize: weight.shape[1] });
  },
});

const layers: readonly Layer[] = [
  relaxation("hestia", { many: [4099, 64] }),
  relaxation("hestia, hard", { hard: true, many: [4099, 64] }),
  relaxation("hestia, scales in half precision", { scaleDtype: "float16" }),
  relaxation("hestia, least scale", { tiny: true }),
  relaxation("hestia of 2025", { recipe: "hestia-2025" }),
  relaxation("hestia of 2025, hard", { recipe: "hestia-2025", hard: true }),
  relaxation("hestia of 2025, least scale", { recipe: "hestia-2025", tiny: true }),
  relaxation("hestia with rules of its own", { scaleGradient: true, scaleEpsilon: 0.37, tieRule: "zero" }),
  {
    says: "rmsNorm",
    inputs: (rows, width) => [random([rows, width], 2), random([width], 3)],
    apply: ([x, weight]) => rmsNorm(x, weight),
  },
  {
    says: "softmax",
    inputs: (rows, width) => [random([rows, width], 4).mul(8)],
    apply: ([x]) => x.softmax(),
  },
  {
    says: "cross-entropy",
    kernels: ["cross_entropy_forward", "cross_entropy_backward"],
    many: [1171, 224],
    inputs: (rows, width) => [random([rows, width], 4).mul(8)],
    apply([logits]) {
      const labels = integers(logits.shape[0], logits.shape[1]);
      if (labels.length > 2) labels[1] = -100;
      return crossEntropy(logits, tensor(labels));
    },
  },
  {
    says: "causal softmax",
    kernels: ["causal_softmax"],
    many: [293, 224],
    inputs: (rows, width) => [random([2, 2, rows, width], 5).mul(4)],
    apply: ([scores]) => applyFused(causalSoftmax, [scores, constant(1, [], "uint32")]),
  },
];

/** A scalar whose gradients with respect to the result are all different. */
const lossOf = (y: Tensor) => y.mul(random(y.shape, 9)).sum().add(y.square().sum());

const sizes = [[1, 1], [1, 4], [2, 3], [3, 8], [5, 31], [7, 260], [9, 1028], [63, 4], [64, 8], [65, 12], [67, 5], [71, 128], [
  128,
  64,
], [
  257,
  36,
]];

for (const layer of layers) {
  Deno.test(`${layer.says}: values, gradients and their derivatives agree with float64 at awkward sizes`, async () => {
    for (const [rows, width] of sizes) {
      await agree(() => {
        const inputs = layer.inputs(rows, width);
        const y = layer.apply(inputs);
        const loss = lossOf(y);
        const vectors = inputs.map(({ shape }, k) => random(shape, 20 + k));
        const named = (name: string, tensors: readonly Tensor[]) =>
          tensors.map((x, k) => [`${name} ${k} of ${rows} x ${width}`, x] as const);
        return Object.fromEntries([
          ...named("value", [y]),
          ...named("gradient", gradients(loss, inputs)),
          ...named("product", hessianVectorProduct(loss, inputs, vectors)),
        ]);
      }, { relative: 1e-4 });
    }
  });
}

for (const { says, many, kernels = [], inputs, apply } of layers) {
  if (!many) continue;
  Deno.test(`${says}: values and gradients of many rows agree with float64, by unrolled loops and with rows shared`, async () => {
    const build = () => {
      const list = inputs(...many);
      const y = apply(list);
      return [y, ...gradients(y.mul(random(y.shape, 9)).sum(), list)];
    };
    await useBackend("reference");
    const expected = await read(build());
    await useBackend("webgpu");
    for (const texelReads of [true, false]) {
      const outputs = build();
      const { dispatches } = lower(flat(outputs), { ...smallTarget, texelReads });
      equal(dispatches.filter(({ shader }) => shader.includes("quad += 4u")).length, texelReads ? kernels.length : 0);
      const names = outputs.map((_, k) => k === 0 ? "value" : `gradient ${k - 1}`);
      deepEqual(differences(names, await runLowered(outputs, { texelReads }), expected, { relative: 1e-4 }), []);
    }
  });
}

Deno.test("the relaxation agrees with float64 from cold to hot, and is the weight itself at pressure 0", async () => {
  await agree(() => {
    const w = random([80, 128], 1);
    return Object.fromEntries([1e-3, 0.02, 1, 1e4].flatMap((temperature) => {
      const y = hestia(w, { temperature, pressure: 0.5, groupSize: 32 });
      return [[`value at ${temperature}`, y], [`gradient at ${temperature}`, gradients(lossOf(y), [w])[0]]];
    }));
  }, { relative: 1e-4 });
  const weight = random([80, 128], 1);
  deepEqual(await hestia(weight, { temperature: 1, pressure: 0, groupSize: 32 }).data(), await weight.data());
  const [limit, hard] = [{ temperature: 0, hard: false }, { hard: true }].map((options) =>
    hestia(weight, { ...options, groupSize: 32 })
  );
  const unsigned = async (x: Tensor) => [...await x.data()].map((value) => value + 0);
  deepEqual(await unsigned(limit), await unsigned(hard));
});

const labels = (outputs: readonly Tensor[], options: { texelReads: boolean }) =>
  lower(flat(outputs), { ...smallTarget, ...options }).dispatches.map(({ label }) => label);

for (const { says, kernels, inputs, apply } of layers) {
  if (!kernels) continue;
  Deno.test(`${says}: one kernel forward and one back, read from textures where that pays`, () => {
    const list = inputs(128, 128);
    const y = apply(list);
    const [gradient] = gradients(lossOf(y), [list[0]]);
    for (const texelReads of [false, true]) {
      const names: readonly string[] = kernels.map((name) => texelReads ? `${name}_texture` : name);
      deepEqual(labels([y], { texelReads }).filter((label) => names.includes(label)), [names[0]]);
      deepEqual(labels([gradient], { texelReads }).filter((label) => label === names[1]), names.slice(1));
    }
  });
}

Deno.test("a norm and a softmax are one kernel forward and one back, which the compiler writes", () => {
  const [x, weight] = [random([512, 64], 1), random([64], 2)];
  for (const y of [rmsNorm(x, weight), x.softmax()]) {
    const [gradient] = gradients(y.mul(random([512, 64], 3)).sum(), [x]);
    for (const texelReads of [false, true]) {
      deepEqual([labels([y], { texelReads }).length, labels([gradient], { texelReads }).length], [1, 1]);
    }
  }
});

Deno.test("widths that are no multiple of four, and one long row, are left to the composition", () => {
  const kernelsOf = (shape: Shape) => labels([hestia(random(shape, 1), { temperature: tensor(1) })], { texelReads: true });
  ok(kernelsOf([16, 64]).includes("hestia_forward"));
  for (const shape of [[3, 5], [512, 512]]) deepEqual(kernelsOf(shape).filter((label) => label.startsWith("hestia")), []);
});

Deno.test("a tensor that one binding cannot hold is left to the composition", () => {
  const outputs = [hestia(random([512, 256], 1), { temperature: tensor(1), groupSize: -1 })];
  const labelsWithin = (maxBindingBytes: number) => {
    const target = { ...smallTarget, limits: { ...smallTarget.limits, maxBindingBytes } };
    return lower(flat(outputs), target).dispatches.map(({ label }) => label);
  };
  equal(labelsWithin(2 ** 19).includes("hestia_forward"), true);
  equal(labelsWithin(2 ** 18).includes("hestia_forward"), false);
});

/** Bytes that the bindings of a program's dispatches hold: each is read once, or written once. */
function boundBytes({ dispatches, inputBytes, outputs, scratchBytes }: Program): number {
  const bytes = ({ kind, index }: Slot) =>
    kind === "input" ? inputBytes[index] : kind === "output" ? outputs[index].bytes : scratchBytes[index];
  return dispatches.flatMap(({ bindings }) => bindings).reduce((sum, { slot }) => sum + bytes(slot), 0);
}

Deno.test("the relaxation moves the least bytes there are, forward and back, and no more than a quarter above", () => {
  for (const hard of [false, true]) {
    for (const groupSize of [-1, 128]) {
      const [weight, gradient] = [1, 2].map((seed) => tensor(noise(512 * 256, { seed })));
      const [w, g] = [weight, gradient].map((x) => x.reshape([512, 256]));
      const y = hestia(w, { temperature: tensor(0.3), pressure: tensor(0.5), groupSize, hard });
      const bytes = (outputs: readonly Tensor[]) => boundBytes(lower(flat(outputs), smallTarget));
      const once = 512 * 256 * 4;
      ok(bytes([y]) <= 2 * once * 1.25, `forward ${bytes([y])}`);
      const [d] = gradients(y.mul(g).sum(), [w]);
      ok(bytes([d]) <= 3 * once * 1.25, `backward ${bytes([d])}`);
    }
  }
});

Deno.test("with scales in half precision, what is packed is what was trained", async () => {
  await useBackend("webgpu");
  const weight = random([96, 64], 1);
  const options = { groupSize: 32, scaleDtype: "float16" } as const;
  const { codes, scales } = absmeanCodes(weight, options);
  const unpacked = codes.cast("float32").reshape([192, 32]).mul(scales.reshape([192, 1])).reshape([96, 64]);
  deepEqual(await hestia(weight, { ...options, hard: true }).data(), await unpacked.data());
  equal((await scales.data()).every((scale) => Math.f16round(scale) === scale), true);
});

for (const { says, kernels = [], many, inputs, apply } of layers) {
  if (!many) continue;
  Deno.test(`${says}: kernels in the widest workgroups give the same bits`, async () => {
    const given = inputs(67, 128);
    const y = apply(given);
    const outputs = [y, gradients(y.mul(given[0]).sum(), given)[0]];
    const expected = await runLowered(outputs, { texelReads: false });
    for (const variant of kernels.map((kernel) => `${kernel}_of_256`)) {
      ok(lower(flat(outputs), smallTarget, { variant }).dispatches.some(({ label }) => label === variant), `${variant} is used`);
      deepEqual(await runLowered(outputs, { variant, texelReads: false }), expected, variant);
    }
  });
}
