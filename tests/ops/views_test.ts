import { arange, gradients, realize, type Tensor, tensor, useBackend } from "../../mod.ts";
import { deepEqual, equal, match, ok, throws } from "../assert.ts";
import { agree } from "../support/backends.ts";
import { noise } from "../support/numbers.ts";

const matrix = (rows: number, columns: number, seed = 1) => tensor(noise(rows * columns, { seed }), { shape: [rows, columns] });

/** Chains of views; each is read as it is, through arithmetic, and by a reduction and a product. */
const chains: Record<string, () => Tensor> = {
  "reshape of a transpose": () => matrix(3, 4).transpose().reshape([2, 6]),
  "transpose of a reshape of a transpose": () => matrix(6, 4).transpose().reshape([3, 8]).transpose(),
  "pad of a slice": () => matrix(5, 7).slice([1, 2], [4, 6]).pad([1, 0], [0, 3]),
  "slice of a pad": () => matrix(5, 7).pad([2, 1], [1, 2]).slice([1, 0], [7, 9]),
  "slice outside of what was padded": () => matrix(2, 3).pad([4, 0], [0, 0]).slice([0, 0], [3, 3]),
  "pad of a pad": () => matrix(2, 3).pad([1, 0], [0, 1]).pad([0, 2], [1, 0]),
  "transpose of a pad": () => matrix(2, 3).pad([1, 0], [0, 1]).transpose(),
  "reshape of a pad": () => matrix(2, 3).pad([1, 0], [1, 1]).reshape([8, 2]),
  "expand of a slice": () => matrix(5, 7).slice([2, 0], [3, 7]).expand([4, 7]),
  "slice of an expand": () => matrix(1, 7).expand([5, 7]).slice([1, 2], [4, 5]),
  "reshape of an expand": () => matrix(3, 1).expand([3, 4]).reshape([2, 6]),
  "reshape of a slice": () => matrix(5, 7).slice([0, 1], [4, 4]).reshape([6, 2]),
  "flip of a slice of a flip": () => matrix(5, 7).flip(0).slice([1, 1], [4, 6]).flip(1),
  "flip of a pad": () => matrix(2, 3).pad([1, 0], [0, 2]).flip(1),
  "pad of a flip of a transpose": () => matrix(2, 3).transpose().flip(0).pad([0, 1], [2, 0]),
  "aligned transpose": () => matrix(8, 12).transpose(),
  "aligned slice": () => matrix(8, 12).slice([0, 4], [8, 12]),
  "slice off by one": () => matrix(8, 12).slice([0, 1], [8, 9]),
  "aligned pad": () => matrix(4, 8).pad([1, 4], [0, 4]),
  "pad off by one": () => matrix(4, 8).pad([0, 1], [0, 3]),
  "aligned flip": () => matrix(4, 8).flip(1),
  "aligned expand": () => matrix(1, 8).expand([4, 8]),
  "expand along rows": () => matrix(4, 1).expand([4, 8]),
  "aligned heads": () => matrix(8, 16).reshape([8, 2, 8]).transpose([1, 0, 2]).reshape([16, 8]),
  "rotated halves": () => matrix(6, 8).reshape([6, 2, 4]).flip(1).reshape([6, 8]),
  "split into heads": () => matrix(3, 8).reshape([3, 2, 4]).transpose([1, 0, 2]).reshape([2, 12]),
};

Deno.test("chains of views are the same on both backends", async () => {
  await agree(() =>
    Object.fromEntries(
      Object.entries(chains).flatMap(([says, build]) => {
        const view = build();
        return [
          [says, view],
          [`${says}, computed`, view.mul(2).add(1)],
          [`${says}, reduced`, view.square().sum({ axes: 0 })],
          [`${says}, multiplied`, view.matmul(view.transpose())],
          [`${says}, gathered`, view.gather(tensor(new Uint32Array([1, 0, 77])))],
        ];
      }),
    )
  );
});

Deno.test("operands broadcast both ways, and gradients sum back", async () => {
  const shapes = [[[3, 1], [1, 4]], [[4], [3, 1]], [[], [2, 3]], [[2, 1, 3], [5, 1]], [[1], [0]], [[2, 3], [1, 1, 1]]];
  const wanted = [[3, 4], [3, 4], [2, 3], [2, 5, 3], [0], [1, 2, 3]];
  deepEqual(
    shapes.map(([a, b]) => arange(a.length ? a : [1]).reshape(a).add(arange(b.length ? b : [1]).reshape(b)).shape),
    wanted,
  );
  await agree(() =>
    Object.fromEntries(shapes.map(([a, b]) => {
      const filled = (shape: number[]) => tensor(noise(shape.reduce((x, y) => x * y, 1)), { shape });
      return [`[${a}] and [${b}]`, filled(a).sub(filled(b).mul(3))];
    }))
  );
});

Deno.test("more workgroups than one axis of a grid allows", async () => {
  await useBackend("webgpu");
  const count = 65_536 * 64 + 3;
  const large = arange([count], { dtype: "uint32" }).add(1);
  const data = await large.data() as Uint32Array;
  equal(data.length, count);
  ok(data.every((value, index) => value === index + 1));
  large.dispose();
});

Deno.test("shapes that do not fit are refused with both shapes in the message", () => {
  const [x, y] = [matrix(2, 3), matrix(4, 5)];
  throws(() => x.add(y), /Cannot apply add to float32\[2,3\] and float32\[4,5\]: shapes do not broadcast/);
  throws(() => x.matmul(y), /Cannot multiply float32\[2,3\] by float32\[4,5\]: inner lengths must be equal, got 3 and 4/);
  throws(() => x.reshape([4, 2]), /Cannot reshape float32\[2,3\]: \[4,2\] has 8 elements, wanted 6/);
  throws(() => x.reshape([4, -1]), /Cannot reshape float32\[2,3\]: wanted lengths that are integers, got \[4,1.5\]/);
  throws(() => x.reshape([-2, -3]), /Cannot reshape float32\[2,3\]/);
  throws(() => x.expand([2, 4]), /Cannot expand float32\[2,3\]: only axes of length 1 stretch, wanted \[2,4\]/);
  throws(() => x.slice([0, 2], [2, 5]), /Cannot slice float32\[2,3\]: \[0,2\] to \[2,5\] does not lie inside of it/);
  throws(() => x.pad([1], [0]), /Cannot pad float32\[2,3\]: wanted one count >= 0 per axis/);
  throws(() => x.transpose([0, 0]), /Cannot transpose float32\[2,3\]: wanted each of its 2 axes once, got \[0,0\]/);
  throws(() => x.sum({ axes: 2 }), /Cannot reduce float32\[2,3\]: axis 2 is not an axis of \[2,3\], wanted -2 to 1/);
  throws(() => x.max({ axes: [1, -1] }), /Cannot reduce float32\[2,3\]: axes \[1,-1\] of \[2,3\] name one axis twice/);
  throws(() => matrix(0, 3).max(), /Cannot take the maximum of float32\[0,3\] over axes \[0,1\]: there is no element/);
  throws(() => x.scatterAdd(tensor(new Uint32Array([1, 2, 3])), 4), /Cannot scatter float32\[2,3\] by uint32\[3\]/);
});

Deno.test("an error points at the line that made it", () => {
  const x = matrix(2, 3);
  const mistakes: (() => unknown)[] = [
    () => x.add(matrix(4, 5)),
    () => x.matmul(x),
    () => x.reshape([5]),
    () => x.sum({ axes: 7 }),
    () => x.softmax(3),
    () => x.flip(2),
    () => x.slice([0], [9]),
    () => x.gather(x),
    () => tensor([[1, 2], [3]]),
    () => tensor([1, 2], { shape: [3] }),
  ];
  for (const mistake of mistakes) {
    throws(mistake, ({ stack }: Error) => {
      const first = stack!.split("\n").find((line) => /^\s+at /.test(line))!;
      match(first, /views_test\.ts/, `${mistake}`);
      return true;
    });
  }
});

Deno.test("large products of odd lengths are filled up to fours, and give what was written", async () => {
  await useBackend("webgpu");
  const [m, k, n] = [101, 103, 107];
  const [a, b] = [[m, k], [k, n]].map((shape, index) =>
    tensor(Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => (i * 7 + index) % 11 - 5), { shape })
  );
  const sums = async (product: Tensor) => [...await product.data()];
  const plain = await sums(a.matmul(b));
  const [x, y] = [await a.data(), await b.data()];
  const wanted = Array.from({ length: m * n }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < k; j++) sum += x[Math.floor(i / n) * k + j] * y[j * n + i % n];
    return sum;
  });
  deepEqual(plain, wanted);
  const turned = realize([a.transpose(), b.transpose()]);
  deepEqual(await sums(turned[0].transpose().matmul(turned[1].transpose())), wanted);
  const product = a.matmul(b);
  deepEqual(await sums(gradients(product.sum(), [product])[0]), new Array(m * n).fill(1));
});
