/**
 * A worker that uses the library before any device is open, and tells what came of it.
 *
 * @module
 */

import { realize, tensor, useBackend, zeros } from "../../mod.ts";

const message = (promise: Promise<unknown>) => promise.then(() => "no error", (error: Error) => error.message);

async function report(): Promise<unknown> {
  const x = tensor([1, 2]);
  const [y] = realize([x.add(1)]);
  const [z] = realize([y.mul(2)]);
  const [failed, fine] = [zeros([2 ** 20, 2 ** 20]).exp(), tensor([1, 2])];
  realize([failed]);
  realize([fine]);
  x.dispose();
  const reads = { disposed: message(x.data()), tooLarge: message(failed.data()) };
  const opening = useBackend();
  return {
    chained: [...await z.data()],
    disposedAfterUse: [...await y.data()],
    disposed: await reads.disposed,
    tooLarge: /^Cannot compute exp over/.test(await reads.tooLarge),
    besideFailure: [...await fine.data()],
    name: (await opening).name,
  };
}

self.addEventListener("message", async () => {
  const scope = self as unknown as { postMessage(value: unknown): void };
  scope.postMessage(await report().catch((error: Error) => error.stack));
});
