/** What becomes of work that a device refuses, and of a device that is lost. */

import { backendInfo, full, ones, realize, tensor, useBackend } from "../../mod.ts";
import type { Backend } from "../../src/backend/backend.ts";
import { deepEqual, equal, fail, ok, rejects } from "../assert.ts";
import { noise } from "../support/numbers.ts";

const filled = ([length]: [number]) => tensor(noise(length));

/** Has the device refuse to make a buffer of one size, as if memory were short. */
async function shortOf(bytes: number, work: () => Promise<void>): Promise<void> {
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    return createBuffer.call(this, descriptor.size === bytes ? { ...descriptor, size: 2 ** 52 } : descriptor);
  };
  try {
    await work();
  } finally {
    GPUDevice.prototype.createBuffer = createBuffer;
  }
}

Deno.test("a buffer that the device refuses fails what needs it, and is asked for again", async () => {
  await useBackend("webgpu");
  const x = filled([7919]);
  const kept = filled([3]);
  realize([kept]);
  await shortOf(Math.ceil(4 * 7919 / 256) * 256, async () => {
    await rejects(x.add(1).data(), /The GPU (rejected a command|is out of memory)/);
    await rejects(x.data(), /The GPU (rejected a command|is out of memory)/);
    equal((await kept.data()).length, 3);
  });
  equal((await x.add(1).data()).length, 7919); // uploaded again
  equal((await x.data()).length, 7919);
});

Deno.test("where memory ends, the error says how much was asked for beside what, and what helps", async () => {
  await useBackend("reference");
  await useBackend("webgpu"); // a device of which all counts are right
  const { popErrorScope } = GPUDevice.prototype;
  let isShort = true;
  GPUDevice.prototype.popErrorScope = async function () {
    const error = await popErrorScope.call(this);
    if (!isShort) return error;
    isShort = false;
    return new GPUOutOfMemoryError("not enough memory left");
  };
  try {
    const error = await filled([7907]).add(1).data().then(() => fail("no error"), ({ message }: Error) => message);
    const [, asked, held] = error.match(/^The GPU is out of memory: this asked for (\d+) bytes beside the (\d+) that are held/)!;
    ok(Number(asked) >= 2 * 4 * 7907 && Number(held) >= 0, error); // an operand and a result
    ok(/lower the batch size, the sequence length/.test(error), error);
  } finally {
    GPUDevice.prototype.popErrorScope = popErrorScope;
  }
  equal((await filled([7907]).add(1).data()).length, 7907);
});

Deno.test("a device that was lost is replaced; what lies on the host is uploaded again", async () => {
  const device = await useBackend("webgpu") as Backend & { failure?: Error };
  const onHost = tensor([1, 2]);
  const [computed] = realize([tensor([3, 4]).mul(2)]);
  Object.defineProperty(device, "failure", { value: new Error("The GPU was lost: pulled out") });
  deepEqual([...await onHost.add(1).data()], [2, 3]);
  ok(await backendInfo() !== device);
  await rejects(
    computed.add(1).data(),
    /Cannot use a float32\[2\] tensor: it was lost with its device. The GPU was lost: pulled out/,
  );
});

Deno.test("sums of a billion elements are right, and more than a kernel counts are refused", async () => {
  await useBackend("webgpu");
  const total = await ones([1_000_000_007]).sum().item();
  ok(Math.abs(total / 1_000_000_007 - 1) < 1e-5, `${total}`);
  const refused = [ones([65_536, 65_536]).sum(), full([65_536, 65_537], 1), ones([70_000, 65_536, 2]).max({ axes: 1 })];
  for (const x of refused) await rejects(x.data(), /Cannot compute \w+ over float32\[\S+\]: it has \d+ elements/);
  equal((await tensor([1, 2]).add(1).data())[1], 3);
});
