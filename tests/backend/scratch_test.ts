import { backendInfo, compile, randomNormal, realize, tensor, useBackend } from "../../mod.ts";
import { Arena } from "../../src/backend/webgpu/scratch.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";

/** An arena of lengths, and what of it is alive. */
function lengthsArena(): { arena: Arena<{ length: number }>; alive: Set<{ length: number }> } {
  const alive = new Set<{ length: number }>();
  const make = (length: number) => {
    const thing = { length };
    alive.add(thing);
    return thing;
  };
  return { arena: new Arena({ make, drop: (thing) => alive.delete(thing) }), alive };
}

Deno.test("shared memory is as much as the largest needs of all programs, by rank", () => {
  const { arena, alive } = lengthsArena();
  const assigned = (...lengths: number[]) => arena.assign(lengths).map(({ length }) => length);
  const held = () => [...alive].map(({ length }) => length).sort((a, b) => a - b);
  deepEqual(assigned(5, 9), [5, 9]);
  equal(arena.version, 0);
  deepEqual(assigned(4, 8), [5, 9]);
  deepEqual(assigned(3, 11, 2), [5, 11, 2]); // 9 was too short, and is replaced
  equal(arena.version, 1);
  deepEqual(held(), [2, 5, 11]);
  deepEqual(assigned(5, 9), [5, 11]);
  for (const length of [20, 30, 40]) assigned(length);
  deepEqual(held(), [2, 5, 40]);
});

Deno.test("a program runs on when another one made shared memory grow", async () => {
  await useBackend("webgpu");
  const rows = (count: number) => realize([randomNormal([count, 24], { seed: 1 })])[0];
  const twice = compile((x: ReturnType<typeof rows>) => x.matmul(x.transpose()).softmax().matmul(x).sum());
  const small = rows(37);
  const before = await twice(small).item();
  const sums: number[] = [];
  for (const count of [64, 130, 260]) {
    sums.push(await twice(rows(count)).item());
    equal(await twice(small).item(), before);
  }
  const { statistics } = await backendInfo();
  const held = statistics.bytesHeld;
  for (const count of [260, 130, 64]) equal(await twice(rows(count)).item(), sums.pop()!);
  ok(statistics.bytesHeld - held < 2 ** 18, `${statistics.bytesHeld - held} bytes more`);
});

Deno.test("what was asked for before a tensor is disposed is read", async () => {
  await useBackend("webgpu");
  const [x] = realize([tensor([1, 2]).mul(tensor([3, 5]))]);
  const reads = Promise.all([x.data(), x.add(1).data()]);
  x.dispose();
  deepEqual((await reads).map((values) => [...values]), [[3, 10], [4, 11]]);
  await rejects(x.data(), /disposed/);
});
