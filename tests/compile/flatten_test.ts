import { tensor } from "../../mod.ts";
import { flattenGraph } from "../../src/compile/flatten.ts";
import { deepEqual, equal, notEqual } from "../assert.ts";
import { flat } from "../support/compiler.ts";

const keyOf = (outputs: ReturnType<typeof tensor>[], donated: number[] = []) =>
  flattenGraph(outputs.map(({ node }) => node), [], new Set(donated)).key;

Deno.test("equal nodes become one", () => {
  const x = tensor([1, 2]);
  const once = flat([x.exp().add(1)]);
  const twice = flat([x.exp().add(1), x.exp().add(1)]);
  equal(twice.nodes.length, once.nodes.length);
  deepEqual(twice.outputs, [once.outputs[0], once.outputs[0]]);
});

Deno.test("nodes that differ in an attribute stay apart", () => {
  const x = tensor([[1, 2], [3, 4]]);
  const { outputs } = flat([x.sum({ axes: 0 }), x.sum({ axes: 1 }), x.mul(2), x.mul(3)]);
  equal(new Set(outputs).size, 4);
});

Deno.test("inputs come before their users, and leaves have places", () => {
  const [x, y] = [tensor([1, 2]), tensor([3, 4])];
  const graph = flat([x.mul(y).exp().sum()], [y]);
  graph.nodes.forEach(({ inputs }, position) => inputs.forEach((input) => equal(input < position, true)));
  deepEqual(graph.leaves.map((position) => graph.nodes[position].leaf), [0, 1]);
  deepEqual([...graph.donated], [0]);
});

Deno.test("the key is the structure: numbers do not matter, shapes, dtypes and donation do", () => {
  const of = (...numbers: number[]) => tensor(numbers);
  equal(keyOf([of(1, 2).exp()]), keyOf([of(5, 6).exp()]));
  notEqual(keyOf([of(1, 2).exp()]), keyOf([of(1, 2, 3).exp()]));
  notEqual(keyOf([of(1, 2).exp()]), keyOf([of(1, 2).sin()]));
  notEqual(keyOf([of(1, 2).add(of(1, 2))]), keyOf([((x) => x.add(x))(of(1, 2))]));
  notEqual(keyOf([of(1, 2).neg()]), keyOf([tensor(new Int32Array(2)).neg()]));
  notEqual(keyOf([of(1, 2).exp()]), keyOf([of(1, 2).exp()], [0]));
});

Deno.test("a graph of many thousand nodes does not exhaust the stack", () => {
  let x = tensor([1]);
  for (let i = 0; i < 20_000; i++) x = i % 2 ? x.add(1) : x.mul(x);
  equal(flat([x]).nodes.length > 20_000, true);
});
