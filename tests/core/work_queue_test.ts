import { type Work, WorkQueue } from "../../src/core/work_queue.ts";
import { deepEqual, equal, throws } from "../assert.ts";

/** Work that notes what happens to it. */
function noting(log: string[]) {
  return (name: string, before?: Work<string>["before"]): Work<string> => ({
    before,
    run: (device) => void log.push(`${name} on ${device}`),
    fail: ({ message }) => void log.push(`${name} failed: ${message}`),
  });
}

Deno.test("work waits for a device, then is done in order, then at once", () => {
  const log: string[] = [];
  const [queue, work] = [new WorkQueue<string>(), noting(log)];
  queue.push(work("a"));
  queue.push(work("b"));
  deepEqual([log, queue.isIdle], [[], false]);
  queue.open("x");
  deepEqual([log, queue.isIdle], [["a on x", "b on x"], true]);
  queue.push(work("c"));
  equal(log.at(-1), "c on x");
  queue.close();
  queue.push(work("d"));
  queue.open("y");
  equal(log.at(-1), "d on y");
});

Deno.test("work that waits for something holds what was asked for after it", async () => {
  const log: string[] = [];
  const [queue, work] = [new WorkQueue<string>(), noting(log)];
  queue.open("x");
  const needs = (...names: string[]) => (): Promise<void> | undefined => {
    const name = names.shift();
    return name === undefined ? undefined : Promise.resolve().then(() => void log.push(name));
  };
  queue.push(work("a", needs("first", "second")));
  queue.push(work("b", needs("third")));
  queue.push(work("c"));
  deepEqual(log, []);
  while (queue.held) await queue.held;
  deepEqual(log, ["first", "second", "a on x", "third", "b on x", "c on x"]);
  equal(queue.isIdle, true);
});

Deno.test("work that is not done when it returns holds what was asked for after it, and the queue is not idle", async () => {
  const log: string[] = [];
  const [queue, work] = [new WorkQueue<string>(), noting(log)];
  queue.push({ ...work("a"), run: () => Promise.resolve().then(() => void log.push("a is done")) });
  queue.push(work("b"));
  queue.open("x");
  deepEqual([log, queue.isIdle], [[], false]);
  while (queue.held) await queue.held;
  deepEqual([log, queue.isIdle], [["a is done", "b on x"], true]);
  queue.push({ ...work("c"), run: () => Promise.resolve().then(() => void log.push("c is done")) });
  equal(queue.isIdle, false);
  queue.push(work("d"));
  while (queue.held) await queue.held;
  deepEqual(log.slice(2), ["c is done", "d on x"]);
});

Deno.test("work that fails at once throws; work that fails later hears of it, and what follows is done", () => {
  const log: string[] = [];
  const [queue, work] = [new WorkQueue<string>(), noting(log)];
  const broken = {
    ...work("a"),
    run: () => {
      throw new Error("broken");
    },
  };
  queue.push(broken);
  queue.push(work("b", () => {
    throw new Error("never ready");
  }));
  queue.push(work("c"));
  queue.open("x");
  deepEqual(log, ["a failed: broken", "b failed: never ready", "c on x"]);
  throws(() => queue.push(broken), { message: /broken/ });
  queue.close();
  queue.push(work("d"));
  queue.failAll(new Error("no device"));
  queue.open("x");
  deepEqual([log.at(-1), queue.isIdle], ["d failed: no device", true]);
});
