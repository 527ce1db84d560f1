import { adamw, constant, gradients, initialMoments, type Tensor, tensor } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { flat, programOf, smallTarget } from "../support/compiler.ts";

const filled = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });

/** AdamW on tensors of these lengths, parameters and moments donated, with what it binds at most. */
function updatesOf(lengths: readonly number[], maxStorageBuffers: number) {
  const record = () => Object.fromEntries(lengths.map((length, index) => [`p${index}`, filled(length)]));
  const [parameters, gradients, first, second] = [record(), record(), record(), record()];
  const state = { parameters, gradients, moments: { first, second }, step: 1 };
  const updated = adamw(state, { learningRate: 0.1, clipNorm: 0, norm: constant(1) });
  const [donated, outputs] = [[parameters, first, second], [updated.parameters, updated.moments.first, updated.moments.second]]
    .map((records) => records.flatMap((each) => Object.values(each as Record<string, Tensor>)));
  const target = { ...smallTarget, limits: { ...smallTarget.limits, maxStorageBuffers } };
  return lower(flat(outputs, donated), target);
}

Deno.test("updates of tensors of one size share kernels, as many as a device binds, and stay in place", () => {
  for (const [maxStorageBuffers, kernels] of [[8, 18], [10, 18], [16, 5], [32, 3], [1000, 3]] as const) {
    const { dispatches, outputs } = updatesOf(new Array(11).fill(13), maxStorageBuffers);
    equal(dispatches.length, kernels, `with ${maxStorageBuffers} bindings`);
    for (const { bindings } of dispatches) ok(bindings.length <= maxStorageBuffers, `${bindings.length} bindings`);
    deepEqual(outputs.map(({ donor }) => donor), outputs.map((_, index) => index), "each takes over its own memory");
  }
});

Deno.test("tensors of other sizes keep kernels of their own", () => {
  equal(updatesOf([5, 7, 5, 7, 1, 1], 32).dispatches.length, 3);
});

Deno.test("large parameters are updated as soon as their gradients are there, so that one gradient is held at a time", () => {
  const [width, depth] = [768, 6]; // weights of more elements than run side by side
  const weights = Array.from({ length: depth }, () => filled(width, width));
  const [first, second] = [weights, weights].map((list) => list.map(({ shape }) => filled(...shape)));
  const loss = weights.reduce((x, w) => x.matmul(w).tanh(), filled(2, width)).square().sum();
  const record = (list: readonly Tensor[]) => Object.fromEntries(list.map((each, k) => [`p${k}`, each]));
  const [rate, step] = [filled(), filled()];
  const scratch = (norm?: Tensor) => {
    const state = { parameters: record(weights), gradients: record(gradients(loss, weights)), step };
    const moments = { first: record(first), second: record(second) };
    const { parameters, moments: moved } = adamw({ ...state, moments }, { learningRate: rate, norm });
    const outputs = [parameters, moved.first, moved.second].flatMap((each) => Object.values(each));
    const donated = [...weights, ...first, ...second];
    const program = lower(flat(outputs, donated), smallTarget);
    deepEqual(program.outputs.map(({ donor }) => donor), donated.map((_, index) => index), "in place");
    return program.scratchBytes.reduce((sum, bytes) => sum + bytes, 0) / (4 * width ** 2);
  };
  ok(scratch() > depth, "clipping by the norm of all gradients waits for them");
  const held = scratch(filled());
  ok(held < 2, `${held} gradients are held`);
});

Deno.test("the norm of many tensors takes two kernels for each shape, and one more", () => {
  const gradients = Object.fromEntries(Array.from({ length: 10 }, (_, k) => [`p${k}`, filled(100, k % 2 ? 80 : 60)]));
  const parameters = Object.fromEntries(Object.entries(gradients).map(([name, { shape }]) => [name, filled(...shape)]));
  const { gradientNorm } = adamw({ parameters, gradients, moments: initialMoments(parameters), step: 1 }, { learningRate: 1 });
  ok(programOf([gradientNorm]).dispatches.length <= 5);
});

Deno.test("what reads a donated input elsewhere than at its element is not joined: the input is still overwritten", () => {
  const [w, v] = [filled(8, 8), filled(8, 8)];
  const { dispatches, outputs } = programOf([w.transpose().add(v), w.sub(1)], [w, v]);
  equal(dispatches.length, 2);
  deepEqual(outputs.map(({ donor }) => donor), [1, 0]);
});

Deno.test("without donation, results stay apart: they run early, to free what they read", () => {
  equal(programOf([filled(9).add(1), filled(9).mul(2)]).dispatches.length, 2);
  equal(programOf([filled(9).add(1), filled(9).mul(2)], [filled(3)]).dispatches.length, 1);
});
