import { type Tensor, tensor } from "../../mod.ts";
import { contiguous, isContiguous, reshapeStrided, windowOf } from "../../src/compile/strided.ts";
import { deepEqual, equal } from "../assert.ts";
import { flat } from "../support/compiler.ts";

/** Where a chain of views of a [4, 6] leaf reads; `undefined` where it is no window on the leaf. */
function windowOn(f: (x: Tensor) => Tensor): { strides: readonly number[]; offset: number } | undefined {
  const { nodes, outputs, leaves } = flat([f(tensor(new Float32Array(24), { shape: [4, 6] }))]);
  const { base, view: { strides, offset } } = windowOf(nodes, outputs[0]);
  return base === leaves[0] ? { strides, offset } : undefined;
}

Deno.test("views of a stored tensor are windows on it", () => {
  deepEqual(windowOn((x) => x.transpose()), { strides: [1, 6], offset: 0 });
  deepEqual(windowOn((x) => x.slice([1, 2], [3, 5])), { strides: [6, 1], offset: 8 });
  deepEqual(windowOn((x) => x.slice([1, 2]).transpose().slice([1, 1])), { strides: [1, 6], offset: 15 });
  deepEqual(windowOn((x) => x.reshape([4, 2, 3]).transpose([1, 0, 2])), { strides: [3, 6, 1], offset: 0 });
  deepEqual(windowOn((x) => x.slice([3]).expand([5, 6])), { strides: [0, 1], offset: 18 });
  deepEqual(windowOn((x) => x.transpose().reshape([2, 3, 4])), { strides: [3, 1, 6], offset: 0 });
});

Deno.test("what no strides can say is no window", () => {
  equal(windowOn((x) => x.transpose().reshape([24])), undefined);
  equal(windowOn((x) => x.slice([0, 1]).reshape([20])), undefined);
  equal(windowOn((x) => x.pad([1, 0], [0, 0])), undefined);
  equal(windowOn((x) => x.flip(0)), undefined);
});

Deno.test("a window is reshaped where its axes merge", () => {
  const window = { shape: [2, 3, 4], strides: [24, 8, 1], offset: 5 };
  deepEqual(reshapeStrided(window, [6, 4]), { shape: [6, 4], strides: [8, 1], offset: 5 });
  deepEqual(reshapeStrided(window, [2, 1, 3, 2, 2])?.strides, [24, 0, 8, 2, 1]);
  equal(reshapeStrided(window, [2, 12]), undefined);
  equal(reshapeStrided(window, [24]), undefined);
  deepEqual(reshapeStrided({ shape: [3, 4], strides: [0, 0], offset: 2 }, [12]), { shape: [12], strides: [0], offset: 2 });
});

Deno.test("axes of one element do not decide whether a window is the whole buffer", () => {
  equal(isContiguous(contiguous([2, 3])), true);
  equal(isContiguous({ shape: [2, 1, 3], strides: [3, 99, 1], offset: 0 }), true);
  equal(isContiguous({ shape: [2, 3], strides: [3, 1], offset: 1 }), false);
  equal(isContiguous({ shape: [2, 3], strides: [0, 1], offset: 0 }), false);
});
