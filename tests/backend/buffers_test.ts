import { BufferPool } from "../../src/backend/webgpu/buffers.ts";
import { equal, ok, throws } from "../assert.ts";

const mebibyte = 2 ** 20;

/** A pool on a device that only counts, and says that there is no memory left for what is longer than `most` bytes. */
function makePool({ maxBufferSize = 2 ** 31 } = {}): {
  pool: BufferPool;
  statistics: { buffersCreated: number; bytesHeld: number };
} {
  const device = { limits: { maxBufferSize }, createBuffer: ({ size }: { size: number }) => ({ size, destroy() {} }) };
  const zero = { pipelinesCreated: 0, bindGroupsCreated: 0, dispatches: 0, submissions: 0, readbacks: 0 };
  const statistics = { ...zero, buffersCreated: 0, bytesHeld: 0 };
  return { pool: new BufferPool(device as unknown as GPUDevice, statistics), statistics };
}

Deno.test("a buffer that was given back is taken again", () => {
  const { pool, statistics } = makePool();
  const first = pool.take(1000);
  equal(first.size, 1024);
  pool.give(first);
  equal(pool.take(1024), first);
  ok(pool.take(1024) !== first);
  equal(statistics.buffersCreated, 2);
});

Deno.test("of free buffers of one length the one made first is taken, in whichever order they came back", () => {
  const { pool } = makePool();
  const made = [1, 2, 3, 4].map(() => pool.take(100));
  for (const index of [2, 0, 3, 1]) pool.give(made[index]);
  for (const buffer of made) equal(pool.take(100), buffer);
});

Deno.test("a long buffer for reading is not kept", () => {
  const { pool, statistics } = makePool();
  pool.giveStaging(pool.takeStaging(mebibyte));
  equal(statistics.bytesHeld, mebibyte);
  pool.giveStaging(pool.takeStaging(100 * mebibyte));
  equal(statistics.bytesHeld, mebibyte);
});

Deno.test("free memory of sizes that never return does not pile up", () => {
  const { pool, statistics } = makePool();
  const used = pool.take(100 * mebibyte);
  for (let i = 1; i <= 1000; i++) pool.give(pool.take(i * mebibyte));
  ok(statistics.bytesHeld <= (100 + 256 + 1000) * mebibyte, `${statistics.bytesHeld / mebibyte} MiB`);
  pool.trim();
  equal(statistics.bytesHeld, used.size);
});

Deno.test("free memory below what is in use stays, so that steps that alternate create nothing", () => {
  const { pool, statistics } = makePool();
  let current = pool.take(500 * mebibyte);
  for (let i = 0; i < 10; i++) {
    const next = pool.take(500 * mebibyte);
    pool.give(current);
    current = next;
  }
  equal(statistics.buffersCreated, 2);
});

Deno.test("a buffer that the adapter cannot hold is refused with both lengths", () => {
  throws(
    () => makePool().pool.take(2 ** 32),
    /Cannot allocate 4294967296 bytes of GPU memory: this adapter's largest buffer is 2147483648/,
  );
});

Deno.test("of several buffers none is kept where one cannot be had", () => {
  const { pool, statistics } = makePool();
  throws(() => pool.takeAll([1000, 2 ** 32]), /Cannot allocate/);
  equal(pool.take(1000).size, 1024);
  equal(statistics.buffersCreated, 1);
});

Deno.test("a buffer for reading is no longer than buffers may be", () => {
  equal(makePool().pool.takeStaging(2 ** 31 - 256).size, 2 ** 31);
  const { pool } = makePool({ maxBufferSize: 2 ** 31 - 1 });
  equal(pool.takeStaging(2 ** 30 + 4).size, 2 ** 31 - 256);
});
