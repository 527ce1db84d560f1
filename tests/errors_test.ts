/** What people do wrong with tensors, and what they are told: on their own line, with what was given and what was wanted. */

import {
  arange,
  causalAttention,
  compile,
  constant,
  crossEntropy,
  full,
  gradients,
  hessianVectorProduct,
  initialModel,
  jacobianVectorProduct,
  randomBits,
  randomNormal,
  recompute,
  rmsNorm,
  rotaryTable,
  rotate,
  swiglu,
  type Tensor,
  tensor,
  zeros,
} from "../mod.ts";
import { deepEqual, match, rejects, throws } from "./assert.ts";

const f = (...shape: number[]) => zeros(shape);
const u = (...shape: number[]) => zeros(shape, "uint32");
const table = (length: number) => rotaryTable({ headDim: 8, theta: 1e4, length });
const sizes = { vocabularySize: 8, hiddenSize: 16, layers: 1, heads: 4, keyValueHeads: 2, intermediateSize: 8 };
const model = (change: Partial<typeof sizes>) => initialModel({ ...sizes, ...change }, { seed: 1 });
const head = (heads: number, positions = 2, dim = 4) => f(1, heads, positions, dim);

const mistakes: readonly (readonly [() => unknown, RegExp])[] = [
  // shapes
  [() => f(2, 3).add(f(4, 5)), /^Cannot apply add to float32\[2,3\] and float32\[4,5\]: shapes do not broadcast, wanted equal/],
  [() => u(2).where(f(3), f(3)), /^Cannot choose between float32\[3\] and float32\[3\] by uint32\[2\]: shapes do not broadcast$/],
  [() => f(2, 3).reshape([5]), /^Cannot reshape float32\[2,3\]: \[5\] has 5 elements, wanted 6$/],
  [() => f(2, 3).reshape([4, -1]), /^Cannot reshape float32\[2,3\]: wanted lengths that are integers, got \[4,1\.5\]$/],
  [
    () => f(2, 3).reshape([-1, -1]),
    /^Cannot reshape float32\[2,3\] to \[-1,-1\]: one length may be -1, beside others that are not 0$/,
  ],
  [() => f(0).reshape([0, -1]), /^Cannot reshape float32\[0\] to \[0,-1\]: one length may be -1/],
  [
    () => model({ hiddenSize: 10, heads: 3 }),
    /^Cannot make a model: headDim \(hiddenSize \/ heads by default\) must be even, got 3\.3/,
  ],
  [() => model({ keyValueHeads: 3 }), /^Cannot make a model: heads \(4\) must be a multiple of keyValueHeads \(3\)$/],
  [() => model({ layers: 0.5 }), /^Cannot make a model: layers must be a positive integer, got 0\.5$/],
  [() => f(2, 3).transpose([0]), /^Cannot transpose float32\[2,3\]: wanted each of its 2 axes once, got \[0\]$/],
  [() => f(3).transpose(), /^Cannot transpose float32\[3\]: wanted at least two axes, or an order$/],
  [() => f(2, 3).expand([3]), /^Cannot expand float32\[2,3\]: only axes of length 1 stretch, wanted \[3\]$/],
  [() => f(4).slice([1], [9]), /^Cannot slice float32\[4\]: \[1\] to \[9\] does not lie inside of it$/],
  [() => f(4).slice([0.5], [2.5]), /^Cannot slice float32\[4\]: \[0\.5\] to \[2\.5\] does not lie inside of it$/],
  [() => f(4).slice([0, 1]), /^Cannot slice float32\[4\]: \[0,1\] to .* does not lie inside of it$/],
  [() => f(4).pad([-1], [0]), /^Cannot pad float32\[4\]: wanted one count >= 0 per axis, got \[-1\] and \[0\]$/],
  [() => f(2, 3).matmul(f(4, 5)), /^Cannot multiply float32\[2,3\] by float32\[4,5\]: inner lengths must be equal, got 3 and 4$/],
  [() => f(3).matmul(f(3)), /^Cannot multiply float32\[3\] by float32\[3\]: wanted at least two axes each$/],
  [() => f(2, 3, 4).matmul(f(5, 4, 2)), /^Cannot multiply float32\[2,3,4\] by float32\[5,4,2\]: leading axes do not broadcast$/],
  [() => swiglu(f(2), f(3)), /^Cannot apply mul to float32\[2\] and float32\[3\]: shapes do not broadcast/],
  // dtypes
  [() => f(2).add(u(2)), /^Cannot apply add to float32\[2\] and uint32\[2\]: dtypes must agree, cast one of them$/],
  [() => u(2).exp(), /^Cannot apply exp to uint32\[2\]: wanted a floating-point tensor, cast it$/],
  [() => f(2).where(1, 2), /^Cannot choose by float32\[2\]: wanted uint32 zeros and ones$/],
  [() => f(2).bitAnd(1), /^Cannot apply bitAnd to float32\[2\]: wanted/],
  [() => u(2).add(0.5), /^Cannot combine uint32\[2\] with 0\.5: wanted an integer from 0 to 4294967295, or cast the tensor$/],
  [() => u(2).equal(-1), /^Cannot combine uint32\[2\] with -1: wanted an integer from 0 to 4294967295/],
  [() => f(2).cast("int8" as "int32"), /^Cannot cast float32\[2\] to int8: wanted one of float32,float16,int32,uint32$/],
  [() => u(2).mean(), /^Cannot average uint32\[2\]: wanted a floating-point tensor$/],
  [
    () => tensor([1, 2.5], { dtype: "int32" }),
    /^Cannot make an int32 tensor of 2\.5 at 1: wanted integers from -2147483648 to 2147483647$/,
  ],
  [
    () => tensor(new Float32Array([-1]), { dtype: "uint32" }),
    /^Cannot make a uint32 tensor of -1 at 0: wanted integers from 0 to 4294967295$/,
  ],
  [() => u(2, 2).matmul(u(2, 2)), /^Cannot multiply uint32\[2,2\] by uint32\[2,2\]: wanted float32, cast them$/],
  // indices
  [() => f(2).gather(f(2)), /^Cannot gather by float32\[2\]: wanted int32 or uint32 indices$/],
  [() => constant(1).gather(u(2)), /^Cannot gather from float32\[\]: wanted at least one axis$/],
  [
    () => f(2).scatterAdd(u(3), 4),
    /^Cannot scatter float32\[2\] by uint32\[3\]: wanted float32 updates that begin with the shape of/,
  ],
  [() => f(2).scatterAdd(f(2), 4), /^Cannot scatter by float32\[2\]: wanted int32 or uint32 indices$/],
  [() => f(2).scatterAdd(u(2), -1), /^Cannot scatter float32\[2\] into -1 rows: wanted an integer of at least 0$/],
  // axes
  [() => f(2, 3).sum({ axes: 2 }), /^Cannot reduce float32\[2,3\]: axis 2 is not an axis of \[2,3\], wanted -2 to 1$/],
  [() => f(2, 3).max({ axes: [0, -2] }), /^Cannot reduce float32\[2,3\]: axes \[0,-2\] of \[2,3\] name one axis twice$/],
  [() => f(2).mean({ axes: 3 }), /^Cannot average float32\[2\]: axis 3 is not an axis of \[2\], wanted -1 to 0$/],
  [() => f(2).softmax(2), /^Cannot take the softmax of float32\[2\]: axis 2 is not an axis/],
  [() => f(2).logSumExp(0.5), /^Cannot take the log-sum-exp of float32\[2\]: axis 0\.5 is not an axis/],
  [() => f(2).flip(1), /^Cannot flip float32\[2\]: axis 1 is not an axis of \[2\], wanted -1 to 0$/],
  [() => f(0, 3).max(), /^Cannot take the maximum of float32\[0,3\] over axes \[0,1\]: there is no element$/],
  // derivatives
  [() => gradients(f(2, 3), []), /^Cannot differentiate float32\[2,3\]: wanted a scalar, reduce it by mean\(\) or sum\(\)$/],
  [() => gradients(u(2).sum(), []), /^Cannot differentiate uint32\[\]: wanted a floating-point tensor$/],
  [() => hessianVectorProduct(f(2), [f(2)], [f(2)]), /^Cannot differentiate float32\[2\]: wanted a scalar/],
  [
    () => hessianVectorProduct(f(2).sum(), [f(2)], []),
    /^Cannot multiply by the Hessian: wanted one direction for each of 1 tensors, got 0$/,
  ],
  [
    () => hessianVectorProduct(f(2).sum(), [f(2)], [f(3)]),
    /: direction 0 is float32\[3\], wanted floats in the shape of float32\[2\]$/,
  ],
  [
    () => hessianVectorProduct(f(2).sum(), [f(2)], [u(2)]),
    /: direction 0 is uint32\[2\], wanted floats in the shape of float32\[2\]$/,
  ],
  [() => jacobianVectorProduct(f(2), [f(2)], [f(3)]), /^Cannot multiply by the Jacobian: direction 0 is float32\[3\], wanted/],
  [() => jacobianVectorProduct(u(2), [f(2)], [f(2)]), /^Cannot differentiate uint32\[2\]: wanted a floating-point tensor$/],
  [() => recompute((x: Tensor) => x.matmul(x))(f(2, 3)), /^Cannot multiply float32\[2,3\] by float32\[2,3\]/],
  // making tensors
  [() => tensor([[1, 2], [3]]), /^Cannot make a tensor: a row has 1 elements, wanted 2 as in the first$/],
  [() => tensor([1, [2]]), /^Cannot make a tensor: rows differ in depth, wanted \[2\] throughout$/],
  [() => tensor([1, 2], { shape: [3] }), /^Cannot make a tensor of \[3\]: wanted 3 numbers, got 2$/],
  [() => tensor([1], { shape: [-1, -1] }), /^Cannot make a tensor of \[-1,-1\]: wanted lengths that are integers of at least 0$/],
  [() => tensor([1], { dtype: "f32" as "float32" }), /^Cannot make a tensor of f32: wanted one of float32,float16,int32,uint32$/],
  [
    () => tensor("text" as unknown as number),
    /^Cannot make a tensor of a string: wanted a number, nested arrays or a typed array$/,
  ],
  [() => tensor(["1", "2"] as unknown as number[]), /^Cannot make a tensor of a string: wanted a number, nested arrays/],
  [() => tensor([[1], ["2"]] as unknown as number[]), /^Cannot make a tensor of a string: wanted a number, nested arrays/],
  [() => tensor(BigInt64Array.of(1n) as unknown as number[]), /^Cannot make a tensor of a bigint: wanted a number, nested/],
  [() => tensor(new Array(2)), /^Cannot make a tensor of undefined, as in an array with holes: wanted a number, nested arrays/],
  // deno-lint-ignore no-sparse-arrays
  [() => tensor([1, , 2] as number[]), /^Cannot make a tensor of undefined, as in an array with holes: wanted/],
  [() => tensor([[1, null]] as unknown as number[]), /^Cannot make a tensor of null: wanted a number, nested arrays/],
  [() => tensor([true] as unknown as number[]), /^Cannot make a tensor of a boolean: wanted a number, nested arrays/],
  [
    () => full([2], 1, "int32").add(1.5),
    /^Cannot combine int32\[2\] with 1.5: wanted an integer from -2147483648 to 2147483647, or cast the/,
  ],
  [() => full([2], 1.5, "int32"), /^Cannot make int32 of 1.5: wanted an integer from -2147483648 to 2147483647$/],
  [() => full([2], -1, "uint32"), /^Cannot make uint32 of -1: wanted an integer from 0 to 4294967295$/],
  [() => full([2], NaN, "uint32"), /^Cannot make uint32 of NaN: wanted an integer from 0 to 4294967295$/],
  [() => zeros([1.5]), /^Cannot make a tensor of \[1\.5\]: wanted lengths that are integers of at least 0$/],
  [() => arange(-1), /^Cannot make a tensor of \[-1\]/],
  [() => arange([2, 2], { axis: 2 }), /^Cannot count in float32\[2,2\]: axis 2 is not an axis of \[2,2\], wanted -2 to 1$/],
  [
    () => randomNormal([2], { seed: 1.5 }),
    /^Cannot make a random tensor from the seed 1\.5: wanted an integer from 0 to 4294967295, or/,
  ],
  [() => randomBits([2], { seed: -1 }), /^Cannot make a random tensor from the seed -1: wanted an integer/],
  [() => randomBits([2], { seed: u(2) }), /^Cannot make a random tensor from the seed uint32\[2\]: wanted an integer/],
  [() => randomBits([-2], { seed: 1 }), /^Cannot make a random tensor of \[-2\]: wanted lengths/],
  // functions of networks
  [
    () => causalAttention(head(3), head(2), head(2)),
    /^Cannot attend with float32\[1,3,2,4\] to .*: wanted a multiple of 2 query heads, got 3$/,
  ],
  [() => causalAttention(f(2, 4), f(2, 4), f(2, 4)), /: wanted floating-point \[batch, heads, positions, headDim\] each$/],
  [
    () => causalAttention(head(2), head(2, 2, 5), head(2, 2, 5)),
    /: wanted keys of \[1,2,2,4\], batch and headDim as in the queries$/,
  ],
  [() => causalAttention(head(2), head(2, 3), head(2)), /: wanted values of the shape of the keys$/],
  [
    () => causalAttention(head(2), head(2), head(2), { offset: -1 }),
    / at the offset -1: wanted an integer of at least 0, or a uint32 scalar$/,
  ],
  [
    () => crossEntropy(f(2, 3), u(3)),
    /^Cannot take the cross-entropy of float32\[2,3\] against uint32\[3\]: wanted one label for each row/,
  ],
  [() => crossEntropy(f(2, 3), f(2)), /against float32\[2\]: wanted int32 or uint32 labels$/],
  [() => crossEntropy(u(2, 3), u(2)), /: wanted floating-point logits$/],
  [() => rmsNorm(f(2, 3), f(2)), /^Cannot normalise float32\[2,3\] with the weight float32\[2\]: wanted a weight of \[3\]/],
  [() => rmsNorm(constant(1), f(1)), /: wanted at least one axis$/],
  [() => rmsNorm(f(2, 3), f(3), { epsilon: -1 }), /and epsilon -1: wanted a number of at least 0$/],
  [() => rotate(f(2, 3, 8), table(4)), /^Cannot rotate float32\[2,3,8\] by a table of float32\[4,4\]: wanted \[\.\.\., 4, 8\]/],
  [() => rotaryTable({ headDim: 3, theta: 1e4, length: 1 }), /^Cannot rotate heads of 3 dimensions: wanted an even number$/],
  [() => rotaryTable({ headDim: 4, theta: 0, length: 1 }), /^Cannot rotate with theta 0: wanted a number above 0$/],
  // compiled functions
  [
    () => compile(({ x }: { x: Tensor }) => ({ x }))({ x: "text" as unknown as Tensor }),
    /^Cannot use string at "x": wanted a tensor, a number,/,
  ],
];

Deno.test("every mistake is told on the line that made it, with what was given and what was wanted", () => {
  for (const [mistake, message] of mistakes) {
    throws(mistake, (error: Error) => {
      match(error.message, message);
      match(error.stack!.split("\n").find((line) => /^\s+at /.test(line))!, /errors_test\.ts/, `${mistake}`);
      return true;
    }, `${mistake}`);
  }
});

Deno.test("what cannot be refused at once is refused when it is read", async () => {
  await rejects(f(2).item(), /^RangeError: Cannot take the item of float32\[2\]: wanted exactly one element$/);
});

Deno.test("what a loss does not depend on has a gradient of zeros, integers too", async () => {
  const [x, y, ids] = [tensor([1, 2]), tensor([[3, 4]]), tensor(Uint32Array.of(1, 0))];
  const found = gradients(x.gather(ids).square().sum(), [y, ids]);
  deepEqual(found.map((g) => `${g}`), ["float32[1,2]", "float32[2]"]);
  deepEqual(await Promise.all(found.map(async (g) => [...await g.data()])), [[0, 0], [0, 0]]);
});
