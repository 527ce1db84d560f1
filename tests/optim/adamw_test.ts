import { backendInfo, compile, constant, realize, type Tensor, tensor, useBackend } from "../../mod.ts";
import { unpackBfloat16 } from "../../src/bits.ts";
import { adamw, type AdamWOptions, globalNorm, initialMoments } from "../../src/optim/adamw.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";

type Numbers = Record<string, number[]>;

const start = (): Numbers => ({ "w": Array.from(noise(6, { seed: 1 })), "model.norm.weight": Array.from(noise(4, { seed: 2 })) });
const slopes = (step: number): Numbers => ({
  "w": Array.from(noise(6, { seed: 10 + step })),
  "model.norm.weight": Array.from(noise(4, { seed: 20 + step })),
});
const tensors = (record: Numbers) => Object.fromEntries(Object.entries(record).map(([name, values]) => [name, tensor(values)]));

/** AdamW in plain numbers, after `steps` steps. */
function expected(steps: number, { rate, clip, decay }: { rate: number; clip: number; decay: number }): Numbers {
  const parameters = start();
  const [first, second] = [1, 2].map(() => Object.fromEntries(Object.entries(parameters).map(([n, p]) => [n, p.map(() => 0)])));
  for (let step = 1; step <= steps; step++) {
    const gradients = slopes(step);
    const norm = Math.sqrt(Object.values(gradients).flat().reduce((sum, g) => sum + g * g, 0));
    const factor = clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
    for (const [name, values] of Object.entries(parameters)) {
      values.forEach((value, i) => {
        const g = gradients[name][i] * factor;
        first[name][i] = 0.9 * first[name][i] + 0.1 * g;
        second[name][i] = 0.95 * second[name][i] + 0.05 * g * g;
        const move = first[name][i] / (1 - 0.9 ** step) / (Math.sqrt(second[name][i] / (1 - 0.95 ** step)) + 1e-8);
        values[i] = value * (1 - rate * (name === "w" ? decay : 0)) - rate * move;
      });
    }
  }
  return parameters;
}

async function run(steps: number, options: AdamWOptions): Promise<Numbers> {
  const update = compile(({ parameters, gradients, moments, step, rate }: {
    parameters: Record<string, Tensor>;
    gradients: Record<string, Tensor>;
    moments: { first: Record<string, Tensor>; second: Record<string, Tensor> };
    step: Tensor;
    rate: Tensor;
  }) => adamw({ parameters, gradients, moments, step }, { ...options, learningRate: rate }), {
    donate: ["parameters", "moments"],
  });
  let parameters = tensors(start());
  let moments = initialMoments(parameters);
  for (let step = 1; step <= steps; step++) {
    ({ parameters, moments } = update({
      parameters,
      gradients: tensors(slopes(step)),
      moments,
      step,
      rate: options.learningRate as number,
    }));
  }
  const values = await Promise.all(Object.values(parameters).map((parameter) => parameter.data()));
  return Object.fromEntries(Object.keys(parameters).map((name, index) => [name, Array.from(values[index])]));
}

for (const [backend, relative] of [["reference", 1e-12], ["webgpu", 1e-5]] as const) {
  for (const [clip, decay] of [[1, 0.01], [0.1, 0.5], [0, 0]]) {
    Deno.test(`adamw() follows its formula with clip ${clip} and decay ${decay} (${backend})`, async () => {
      await useBackend(backend);
      const wanted = expected(12, { rate: 0.02, clip, decay });
      const got = await run(12, { learningRate: 0.02, clipNorm: clip, weightDecay: decay });
      for (const name of Object.keys(wanted)) close(got[name], wanted[name], { relative, absolute: relative / 10, says: name });
    });
  }
}

for (const [backend, relative] of [["reference", 1e-12], ["webgpu", 1e-6]] as const) {
  Deno.test(`adamw() clips by the norm that it is given (${backend})`, async () => {
    await useBackend(backend);
    const parameters = { w: tensor([1, -2, 3]) };
    const state = { parameters, gradients: { w: tensor([0.3, -0.4, 1.2]) }, moments: initialMoments(parameters), step: 1 };
    const by = (options: Partial<AdamWOptions>) => adamw(state, { learningRate: 0.1, clipNorm: 1, ...options });
    const given = by({ norm: tensor(7) });
    close(await given.moments.first.w.data(), [0.03 / 7, -0.04 / 7, 0.12 / 7], { relative: 1e-6 });
    close(await given.gradientNorm.data(), [1.3], { relative });
    close(await by({ norm: tensor(0.5) }).moments.first.w.data(), [0.03, -0.04, 0.12], { relative: 1e-6 });
  });
}

Deno.test("moments in bfloat16 take half the memory, and follow those in float32 on average", async () => {
  await useBackend("webgpu");
  const [size, steps] = [1021, 40];
  const step = compile(
    (inputs: {
      parameters: Record<string, Tensor>;
      moments: { first: Record<string, Tensor>; second: Record<string, Tensor> };
      gradients: Record<string, Tensor>;
      step: Tensor;
    }) => adamw(inputs, { learningRate: 0.01, weightDecay: 0, beta2: 0.999 }),
    { donate: ["parameters", "moments"] },
  );
  const run = async (dtype: "float32" | "bfloat16") => {
    let parameters: Record<string, Tensor> = { w: tensor(noise(size, { seed: 1 })) };
    let moments = initialMoments(parameters, { dtype });
    for (let k = 1; k <= steps; k++) {
      const gradients = { w: tensor(noise(size, { seed: 100 + k, low: -1, high: 1.5 })) };
      ({ parameters, moments } = step({ parameters, moments, gradients, step: k }));
    }
    return { w: await parameters.w.data(), second: moments.second.w };
  };
  const [exact, half, again] = [await run("float32"), await run("bfloat16"), await run("bfloat16")];
  equal(`${half.second}`, "uint32[511]");
  deepEqual([...half.w], [...again.w], "the same bits in every run");
  const errors = [...half.w].map((value, k) => value - exact.w[k]);
  const mean = errors.reduce((sum, error) => sum + error, 0) / size;
  const deviation = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / size);
  ok(deviation < 0.01 * 0.01 * steps, `moves of ${0.01 * steps} at most differ by ${deviation}`);
  ok(Math.abs(mean) < 4 * deviation / Math.sqrt(size) + 1e-6, `no drift: ${mean} of ${deviation}`);
  const second = [...await unpackBfloat16(half.second, [size]).data()], wanted = [...await exact.second.data()];
  const ratio = second.reduce((sum, value) => sum + value, 0) / wanted.reduce((sum, value) => sum + value, 0);
  ok(Math.abs(ratio - 1) < 2e-3, `squares are right on average: ${ratio}`);
});

Deno.test("adamw() corrects the start of its moments as exactly from a scalar tensor as from a number", async () => {
  for (const [backend, relative] of [["reference", 1e-12], ["webgpu", 2e-6]] as const) {
    await useBackend(backend);
    for (const step of [1, 2, 3, 5, 6, 30, 1000, 100_000]) {
      for (const beta of [0.9, 0.95, 0.999]) {
        const parameters = { w: tensor([1, -2]) };
        const state = {
          parameters,
          gradients: { w: tensor([0.3, 0.1]) },
          moments: { first: { w: tensor([0.1, 0.2]) }, second: { w: tensor([1, 2]) } },
        };
        const options = { learningRate: 1, weightDecay: 0, beta1: beta, beta2: beta };
        const [exact, computed] = await Promise.all(
          [step, tensor(step)].map((at) => adamw({ ...state, step: at }, options).parameters.w.data()),
        );
        close(computed, exact, { relative, absolute: relative, says: `${backend}, step ${step}, beta ${beta}` });
      }
    }
  }
});

Deno.test("a step of adamw() takes fewer than three kernels for each parameter, and compiles nothing on replay", async () => {
  await useBackend("webgpu");
  const { statistics } = await backendInfo();
  const dispatches = async (count: number) => {
    const names = Array.from({ length: count }, (_, index) => `p${index}`);
    const make = () => Object.fromEntries(names.map((name, index) => [name, tensor(noise(100 + index, { seed: index }))]));
    const step = compile(
      (inputs: { parameters: Record<string, Tensor>; gradients: Record<string, Tensor>; step: Tensor; rate: Tensor }) => {
        const moments = { first: inputs.gradients, second: inputs.parameters };
        return adamw({ ...inputs, moments }, { learningRate: inputs.rate });
      },
    );
    const inputs = { parameters: make(), gradients: make(), step: 3, rate: 0.1 };
    await step(inputs).gradientNorm.item();
    const before = { ...statistics };
    await step({ ...inputs, step: 4, rate: 0.2 }).gradientNorm.item();
    equal(statistics.pipelinesCreated, before.pipelinesCreated);
    return statistics.dispatches - before.dispatches;
  };
  // for each parameter: its sum of squares and its update; and now and then a kernel that adds some of the sums
  ok(await dispatches(9) - await dispatches(3) < 6 * 3);
});

Deno.test("globalNorm() is the root of the sum of all squares", async () => {
  await useBackend("reference");
  equal(await globalNorm({ a: tensor([3]), b: tensor([[4]]) }).item(), 5);
  equal(await globalNorm({}).item(), 0);
});

Deno.test("adamw() refuses a parameter without a gradient or a moment", () => {
  const w = constant(1, [2]);
  const moments = initialMoments({ w });
  realize(Object.values(moments.first));
  throws(
    () => adamw({ parameters: { w }, gradients: {}, moments, step: 1 }, { learningRate: 1 }),
    /Cannot update "w": there is no gradient for it/,
  );
  const state = { parameters: { w }, gradients: { w }, moments: { first: { w }, second: {} }, step: 1 };
  throws(() => adamw(state, { learningRate: 1 }), /Cannot update "w": there is no second moment for it/);
  deepEqual(Object.keys(adamw({ ...state, moments }, { learningRate: 1 }).parameters), ["w"]);
});

for (const backend of ["reference", "webgpu"] as const) {
  for (const dtype of ["float32", "bfloat16"] as const) {
    Deno.test(`a NaN or infinite gradient anywhere changes nothing, moments in ${dtype} included (${backend})`, async () => {
      await useBackend(backend);
      const step = compile(({ parameters, gradients, moments, step }: State & { step: Tensor }) =>
        adamw({ parameters, gradients, moments, step }, { learningRate: 0.1 })
      );
      const parameters = tensors({ ...start(), more: [-0, 3e38, -1e-30, 7] });
      const sound = tensors({ ...slopes(1), more: [1, 2, 3, 4] });
      const { moments } = step({ parameters, gradients: sound, moments: initialMoments(parameters, { dtype }), step: 1 });
      const before = await bitsOf({ parameters, moments });
      const beyond = backend === "webgpu" ? [1e30] : []; // its square is, in float32
      for (const value of [NaN, Infinity, -Infinity, ...beyond]) {
        const gradients = { ...tensors(slopes(2)), more: tensor([1, value, 3, 4]) };
        const { gradientNorm, ...after } = step({ parameters, gradients, moments, step: 2 });
        deepEqual(await bitsOf(after), before, `${value}`);
        ok(!Number.isFinite(await gradientNorm.item()));
      }
    });
  }
}

type State = Pick<Parameters<typeof adamw>[0], "parameters" | "gradients" | "moments">;

/** Numbers of parameters and moments. */
async function bitsOf({ parameters, moments }: Pick<State, "parameters" | "moments">): Promise<number[][]> {
  const all = [parameters, moments.first, moments.second].flatMap((record) => Object.values(record));
  return await Promise.all(all.map(async (each) => [...await each.data()]));
}

Deno.test("with a norm given, elements that are not finite count as zero, and nothing moves where the norm or `when` says so", async () => {
  await useBackend("webgpu");
  const state = () => ({ parameters: { w: tensor([1, 2]) }, gradients: { w: tensor([NaN, 1]) }, step: 1 });
  const update = (options: Partial<AdamWOptions>) => {
    const given = state();
    return adamw({ ...given, moments: initialMoments(given.parameters) }, { learningRate: 0.1, weightDecay: 0, ...options })
      .parameters.w.data();
  };
  close(await update({ norm: tensor(1) }), [1, 1.9], { relative: 1e-5 });
  close(await update({ norm: tensor(NaN) }), [1, 2]);
  close(await update({ norm: tensor(1), when: tensor(Uint32Array.of(0)) }), [1, 2]);
});

Deno.test("steps count from 1, and settings are finite numbers in their ranges", async () => {
  await useBackend("reference");
  const parameters = { w: tensor([1]) };
  const update = (step: number, options: Partial<AdamWOptions>) =>
    adamw({ parameters, gradients: parameters, moments: initialMoments(parameters), step }, { learningRate: 0.1, ...options });
  throws(() => update(0, {}), /wanted a step counted from 1, got 0/);
  throws(() => update(1.5, {}), /wanted a step counted from 1, got 1.5/);
  throws(() => update(1, { learningRate: Infinity }), /wanted a finite learningRate, got Infinity/);
  throws(() => update(1, { beta1: -0.1 }), /wanted beta1 from 0 to below 1, got -0.1/);
  throws(() => update(1, { epsilon: NaN }), /wanted epsilon to be a finite number of at least 0, got NaN/);
});
