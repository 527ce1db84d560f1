import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { backendInfo, compile, gradients, realize, type Tensor, tensor, useBackend, zeros } from "../mod.ts";
import { deepEqual, equal, match, ok, rejects, throws } from "./assert.ts";
import { noise } from "./support/numbers.ts";

const filled = (shape: number[], seed = 1) => tensor(noise(shape.reduce((a, b) => a * b, 1), { seed }), { shape });

type Parameters = { w: Tensor; b: Tensor };

function lossOf({ w, b }: Parameters, x: Tensor, y: Tensor): Tensor {
  return x.matmul(w).add(b).tanh().sub(y).square().mean();
}

/** A step of gradient descent on two parameters, which it overwrites. */
function makeStep() {
  return compile(({ p, x, y, rate }: { p: Parameters; x: Tensor; y: Tensor; rate: Tensor }) => {
    const loss = lossOf(p, x, y);
    const [gw, gb] = gradients(loss, [p.w, p.b]);
    return { loss, p: { w: p.w.sub(gw.mul(rate)), b: p.b.sub(gb.mul(rate)) } };
  }, { donate: ["p"] });
}

const data = () => ({ x: filled([13, 7], 2), y: filled([13, 5], 3) });
const start = () => ({ w: filled([7, 5], 4), b: filled([5], 5) });

Deno.test("from the second step on nothing is compiled and nothing is created", async () => {
  const { statistics } = await useBackend("webgpu");
  const step = makeStep();
  const { x, y } = data();
  let p: Parameters = start();
  const losses: number[] = [];
  let settled = { ...statistics };
  for (let i = 0; i < 30; i++) {
    const before = { ...statistics };
    const result = step({ p, x, y, rate: 0.5 / (1 + i) });
    p = result.p;
    losses.push(await result.loss.item());
    result.loss.dispose();
    equal(statistics.submissions - before.submissions, 2, "the step and the reading of its loss");
    equal(statistics.readbacks - before.readbacks, 1);
    if (i === 4) settled = { ...statistics };
    if (i >= 1) equal(statistics.pipelinesCreated, before.pipelinesCreated, `pipelines in step ${i}`);
    if (i >= 1) equal(statistics.buffersCreated, before.buffersCreated, `buffers in step ${i}`);
  }
  equal(statistics.bindGroupsCreated, settled.bindGroupsCreated, "bind groups after a few steps");
  equal(statistics.bytesHeld, settled.bytesHeld);
  ok(losses.every((loss, i) => i === 0 || loss < losses[i - 1]), `${losses}`);
});

Deno.test("the same graph built again runs the same program", async () => {
  const { statistics } = await useBackend("webgpu");
  const run = async (seed: number) => {
    const [g] = gradients(lossOf({ w: filled([7, 5], seed), b: filled([5], seed) }, filled([13, 7], 2), filled([13, 5], 3)), []);
    return [g, await lossOf({ w: filled([7, 5], seed), b: filled([5], seed) }, filled([13, 7], 2), filled([13, 5], 3)).item()];
  };
  const [, first] = await run(1);
  const { pipelinesCreated } = statistics;
  const [, second] = await run(2);
  equal(statistics.pipelinesCreated, pipelinesCreated);
  ok(first !== second);
});

Deno.test("other shapes are another program, and the first is not forgotten", async () => {
  const { statistics } = await useBackend("webgpu");
  const double = compile(({ x }: { x: Tensor }) => ({ y: x.mul(2).cos() }));
  for (const length of [3, 4]) await double({ x: filled([length]) }).y.data();
  const { pipelinesCreated } = statistics;
  for (const length of [3, 4, 3]) equal((await double({ x: filled([length]) }).y.data()).length, length);
  equal(statistics.pipelinesCreated, pipelinesCreated);
});

Deno.test("numbers are inputs: changing them compiles nothing", async () => {
  const { statistics } = await useBackend("webgpu");
  const scale = compile(({ x, by, and }: { x: Tensor; by: Tensor; and: Tensor }) => ({ y: x.mul(by).add(and) }));
  const x = tensor([1, 2]);
  deepEqual([...await scale({ x, by: 3, and: 1 }).y.data()], [4, 7]);
  const { pipelinesCreated } = statistics;
  deepEqual([...await scale({ x, by: -0.5, and: 0 }).y.data()], [-0.5, -1]);
  equal(statistics.pipelinesCreated, pipelinesCreated);
});

Deno.test("a thousand compiled steps hold their memory steady", async () => {
  const { statistics } = await useBackend("webgpu");
  const step = makeStep();
  const { x, y } = data();
  let p: Parameters = start();
  let held = 0;
  for (let i = 0; i < 1000; i++) {
    const result = step({ p, x, y, rate: 0.01 });
    p = result.p;
    if (i % 100 === 99) ok(await result.loss.item() > 0);
    result.loss.dispose();
    if (i === 99) held = statistics.bytesHeld;
  }
  equal(statistics.bytesHeld, held);
});

Deno.test("a thousand steps of realize and dispose hold their memory steady", async () => {
  const { statistics } = await useBackend("webgpu");
  const { x, y } = data();
  let p: Parameters = start();
  realize([x, y, p.w, p.b]);
  let held = { ...statistics };
  for (let i = 0; i < 1000; i++) {
    const loss = lossOf(p, x, y);
    const [gw, gb] = gradients(loss, [p.w, p.b]);
    const [w, b, value] = realize([p.w.sub(gw.mul(0.01)), p.b.sub(gb.mul(0.01)), loss]);
    if (i % 100 === 99) ok(await value.item() > 0);
    for (const old of [p.w, p.b, value]) old.dispose();
    p = { w, b };
    if (i === 199) held = { ...statistics };
  }
  equal(statistics.bytesHeld, held.bytesHeld);
  equal(statistics.buffersCreated, held.buffersCreated);
  equal(statistics.pipelinesCreated, held.pipelinesCreated);
  const bindGroups = statistics.bindGroupsCreated - held.bindGroupsCreated;
  ok(bindGroups < 100, `${bindGroups} bind groups in 800 steps`); // what is collected meanwhile comes back in between
});

Deno.test("a disposed tensor's memory is used again, by `using` too", async () => {
  const { statistics } = await useBackend("webgpu");
  const run = async () => {
    using x = filled([1009]);
    using y = x.exp();
    await y.data();
  };
  await run();
  const { buffersCreated, bytesHeld } = statistics;
  for (let i = 0; i < 10; i++) await run();
  deepEqual([statistics.buffersCreated, statistics.bytesHeld], [buffersCreated, bytesHeld]);
});

Deno.test("collected tensors give their memory back", async () => {
  const { statistics } = await useBackend("webgpu");
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const fill = () => {
    for (let i = 0; i < 50; i++) realize([filled([1021]).add(i)]);
  };
  fill();
  const { bytesHeld } = statistics;
  for (let round = 0; round < 5; round++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20)); // finalizers run between turns of the event loop
    fill();
  }
  ok(statistics.bytesHeld < 1.5 * bytesHeld, `${statistics.bytesHeld} bytes held, ${bytesHeld} after the first round`);
});

Deno.test("disposing twice is disposing once", async () => {
  await useBackend("webgpu");
  const x = filled([1013]);
  await x.data();
  x.dispose();
  x.dispose();
  const [a, b] = [filled([1013], 1), filled([1013], 2)];
  const [first, second] = await Promise.all([a.data(), b.data()]);
  ok(first.some((value, index) => value !== second[index]), "two tensors share a buffer");
});

Deno.test("reads asked for together share one submission and one wait", async () => {
  const { statistics } = await useBackend("webgpu");
  const x = filled([11]);
  const before = { ...statistics };
  const [a, b, c] = await Promise.all([x.exp().data(), x.sum().item(), x.data()]);
  deepEqual([a.length, typeof b, c.length], [11, "number", 11]);
  equal(statistics.readbacks - before.readbacks, 1);
  equal(statistics.submissions - before.submissions, 2);
});

Deno.test("a read that fails does not fail the others", async () => {
  await useBackend("webgpu");
  const gone = filled([4]);
  await gone.data();
  gone.dispose();
  const reads = await Promise.allSettled([filled([3]).mul(0).data(), gone.data(), gone.add(1).data(), filled([2]).sum().item()]);
  deepEqual(reads.map(({ status }) => status), ["fulfilled", "rejected", "rejected", "fulfilled"]);
});

Deno.test("a realized tensor is not computed again, and still differentiates", async () => {
  const { statistics } = await useBackend("webgpu");
  const x = tensor([1, 2, 3]);
  const y = x.square();
  const [value] = realize([y]);
  const { dispatches } = statistics;
  deepEqual([[...await y.data()], [...await value.data()]], [[1, 4, 9], [1, 4, 9]]);
  equal(statistics.dispatches, dispatches);
  deepEqual([...await gradients(y.sum(), [x])[0].data()], [2, 4, 6]);
  deepEqual([...await gradients(value.sum(), [x])[0].data()], [0, 0, 0]);
});

for (const name of ["webgpu", "reference"] as const) {
  Deno.test(`misuse of a tensor is told clearly (${name})`, async () => {
    await useBackend(name);
    const gone = filled([2, 3]);
    await gone.data();
    gone.dispose();
    await rejects(gone.data(), /Cannot use a float32\[2,3\] tensor that was disposed, or donated to a step/);
    await rejects(gone.add(1).data(), /Cannot use a float32\[2,3\] tensor that was disposed/);

    const step = makeStep();
    const { x, y } = data();
    const p = start();
    realize([p.w, p.b]);
    step({ p, x, y, rate: 0.1 });
    await rejects(p.w.data(), /Cannot use a float32\[7,5\] tensor that was disposed, or donated to a step/);
    throws(() => step({ p, x, y, rate: 0.1 }), /disposed, or donated/);

    const twice = filled([5]);
    const add = compile(({ a, b }: { a: Tensor; b: Tensor }) => ({ sum: a.add(b) }), { donate: ["a"] });
    throws(() => add({ a: twice, b: twice }), /Cannot donate a tensor that the step also receives as another argument/);
  });
}

Deno.test("a tensor of one backend is refused by the other", async () => {
  await useBackend("reference");
  const old = filled([3]);
  await old.data();
  await useBackend("webgpu");
  await rejects(old.data(), /Cannot use a float32\[3\] tensor: it lives on another backend than webgpu/);
  await rejects(old.add(1).data(), /it lives on another backend than webgpu/);
  equal((await filled([3]).add(1).data()).length, 3);
});

Deno.test("reading an argument while a function is traced is refused", async () => {
  await useBackend("webgpu");
  let inside: Promise<unknown> = Promise.resolve();
  const step = compile(({ x }: { x: Tensor }) => {
    inside = x.exp().data();
    inside.catch(() => {});
    return { y: x.mul(2) };
  });
  step({ x: filled([2]) });
  await rejects(inside, /Cannot read float32\[2\]: it is an argument of a function being traced by compile/);
});

Deno.test("integers that float32 cannot hold are refused by a compiled step", async () => {
  await useBackend("webgpu");
  const step = compile(({ x, seed }: { x: Tensor; seed: Tensor }) => ({ y: x.add(seed) }));
  equal((await step({ x: 0, seed: 2 ** 24 }).y.data())[0], 2 ** 24);
  equal((await step({ x: 0, seed: 1e30 }).y.data())[0], Math.fround(1e30));
  throws(
    () => step({ x: 0, seed: 16_777_217 }),
    /Cannot pass 16777217 to a compiled step: numbers are float32 there, which would round it to 16777216; wanted a tensor/,
  );
});

Deno.test("what a compiled function closes over is computed once", async () => {
  const { statistics } = await useBackend("webgpu");
  const table = filled([64, 64]).matmul(filled([64, 64], 2)).tanh(); // not computed yet
  const step = compile(({ x }: { x: Tensor }) => ({ y: table.transpose().matmul(x).sum(), z: table.sum() }));
  const x = filled([64, 2]);
  const { y, z } = step({ x });
  const before = statistics.dispatches;
  const again = step({ x });
  const perStep = statistics.dispatches - before;
  deepEqual(await Promise.all([again.y.data(), again.z.data()]), await Promise.all([y.data(), z.data()]));
  const given = compile(({ x, table }: { x: Tensor; table: Tensor }) => ({
    y: table.transpose().matmul(x).sum(),
    z: table.sum(),
  }));
  given({ x, table });
  const start = statistics.dispatches;
  given({ x, table });
  equal(perStep, statistics.dispatches - start, "as for an argument");
});

Deno.test("what is no tensor is refused by its path", async () => {
  await useBackend("webgpu");
  const step = compile(({ x }: { x: Tensor }) => ({ x, more: { name: "text" } }));
  throws(() => step({ x: filled([2]) }), /Cannot use string at "more.name": wanted a tensor/);
});

Deno.test("an error in a traced function is thrown at its line, and the next call traces again", async () => {
  await useBackend("webgpu");
  let wrong = true;
  const step = compile(({ x }: { x: Tensor }) => ({ y: wrong ? x.matmul(x) : x.add(1) }));
  throws(() => step({ x: filled([2, 3]) }), (error: Error) => {
    match(error.message, /Cannot multiply float32\[2,3\] by float32\[2,3\]: inner lengths must be equal, got 3 and 2/);
    match(error.stack!.split("\n").find((line) => /^\s+at /.test(line))!, /runtime_test\.ts/);
    return true;
  });
  wrong = false;
  equal((await step({ x: filled([2, 3]) }).y.data()).length, 6);
});

Deno.test("a device that is being opened does the work that waits for it", async () => {
  await useBackend("reference");
  const opening = useBackend("webgpu");
  const x = tensor([1, 2]);
  const [y] = realize([x.add(1)]);
  const [z] = realize([y.mul(2)]);
  await opening;
  deepEqual([...await z.data()], [4, 6]);
  equal((await backendInfo()).name, "webgpu");
});

Deno.test("work that begins before any device is open is done in order", async () => {
  const worker = new Worker(new URL("./support/first_use.ts", import.meta.url), { type: "module" });
  const report = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
    worker.postMessage("start");
  });
  worker.terminate();
  deepEqual(report, {
    chained: [4, 6],
    disposedAfterUse: [2, 3],
    disposed: "Cannot use a float32[2] tensor that was disposed, or donated to a step",
    tooLarge: true,
    besideFailure: [1, 2],
    name: "webgpu",
  });
});

Deno.test("asking for the device in use changes nothing", async () => {
  const info = await useBackend("webgpu");
  const x = filled([3]);
  await x.data();
  ok(await useBackend("webgpu") === info && await useBackend() === info);
  equal((await x.data()).length, 3);
});

Deno.test("donated zeros and constants are stored before they are overwritten", async () => {
  await useBackend("webgpu");
  const step = compile(({ total, x }: { total: Tensor; x: Tensor }) => ({ total: total.add(x) }), { donate: ["total"] });
  let total = zeros([3]);
  for (let i = 1; i <= 4; i++) ({ total } = step({ total, x: i }));
  deepEqual([...await total.data()], [10, 10, 10]);
});

Deno.test("an output that is an input, or another output, has memory of its own", async () => {
  await useBackend("webgpu");
  const step = compile(({ x }: { x: Tensor }) => ({ x, again: x.reshape([2, 1]), y: x.add(1), z: x.add(1).reshape([1, 2]) }));
  const x = tensor([1, 2]);
  const { again, y, z, x: same } = step({ x });
  x.dispose();
  y.dispose();
  deepEqual(await Promise.all([same, again, z].map(async (tensor) => [tensor.shape, ...await tensor.data()])), [
    [[2], 1, 2],
    [[2, 1], 1, 2],
    [[1, 2], 2, 3],
  ]);
});

Deno.test("what is read and then donated in one turn is read first", async () => {
  for (const name of ["webgpu", "reference"] as const) {
    await useBackend(name);
    const step = compile(({ w, rate }: { w: Tensor; rate: Tensor }) => ({ w: w.add(rate) }), { donate: ["w"] });
    const w = tensor([1, 2]);
    const [before, twice] = [w.data(), w.mul(2).data()];
    const after = step({ w, rate: 1 }).w.data();
    deepEqual((await Promise.all([before, twice, after])).map((data) => [...data]), [[1, 2], [2, 4], [2, 3]]);
  }
});

Deno.test("promises, maps and typed arrays are no records of tensors", async () => {
  await useBackend("reference");
  const x = tensor([1]);
  // deno-lint-ignore require-await
  const asynchronous = compile(async ({ x }: { x: Tensor }) => ({ y: x.add(1) }));
  throws(() => asynchronous({ x }), /Cannot compile an async function: it is traced once, wanted one that returns tensors/);
  const inside = compile(({ x }: { x: Tensor }) => ({ y: Promise.resolve(x) }));
  throws(() => inside({ x }), /Cannot use a Promise at "y": wanted a tensor/);
  const identity = compile((inputs: { x: Tensor; more: unknown }) => inputs.x);
  for (const more of [new Map([["x", x]]), new Set([x]), Float32Array.of(1)]) {
    throws(() => identity({ x, more } as never), /Cannot use a (Map|Set|Float32Array) at "more"/);
  }
});
