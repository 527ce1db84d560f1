import { saturate, wideArray } from "../../src/core/dtype.ts";
import { atCaller } from "../../src/core/errors.ts";
import { broadcastShapes, normalizeAxes, normalizeAxis, sameShape, sizeOf, stridesOf } from "../../src/core/shape.ts";
import { Recent } from "../../src/core/recent.ts";
import { flatten, follows, patternOf, unflatten } from "../../src/core/tree.ts";
import { wgslLiteral } from "../../src/core/wgsl.ts";
import { deepEqual, equal, match, throws } from "../assert.ts";

Deno.test("shapes have sizes and strides", () => {
  deepEqual([sizeOf([]), sizeOf([2, 3]), sizeOf([2, 0])], [1, 6, 0]);
  deepEqual([stridesOf([2, 3, 4]), stridesOf([])], [[12, 4, 1], []]);
  deepEqual([sameShape([1], [1, 1]), sameShape([2, 3], [2, 3])], [false, true]);
});

Deno.test("shapes broadcast from the last axis on", () => {
  const cases = [
    [[], [], []],
    [[3], [], [3]],
    [[2, 1], [3], [2, 3]],
    [[2, 3], [2, 1], [2, 3]],
    [[0], [1], [0]],
    [[2], [3], undefined],
    [[2, 3], [2], undefined],
    [[0], [2], undefined],
  ] as const;
  for (const [a, b, wanted] of cases) deepEqual([broadcastShapes(a, b), broadcastShapes(b, a)], [wanted, wanted]);
});

Deno.test("axes count from either end", () => {
  deepEqual(
    [normalizeAxis(-1, [2, 3], "test"), normalizeAxes(undefined, [2, 3], "test"), normalizeAxes([1, -2], [2, 3], "test")],
    [
      1,
      [0, 1],
      [0, 1],
    ],
  );
  throws(() => normalizeAxis(0, [], "test"), /Cannot test: axis 0 is not an axis of \[\]/);
  throws(() => normalizeAxis(0.5, [2], "test"), /axis 0.5/);
  throws(() => normalizeAxes([0, -2], [2, 3], "test"), /name one axis twice/);
});

Deno.test("trees flatten and come back", () => {
  const isNumber = (value: unknown): value is number => typeof value === "number";
  const tree = { a: [1, { b: 2 }], c: 3, empty: [], none: {} };
  const { leaves, paths, structure } = flatten(tree, isNumber);
  deepEqual([leaves, paths], [[1, 2, 3], ["a.0", "a.1.b", "c"]]);
  equal(structure, "{a:[*,{b:*}],c:*,empty:[],none:{}}");
  deepEqual(unflatten(tree, isNumber, ["x", "y", "z"]), { a: ["x", { b: "y" }], c: "z", empty: [], none: {} });
  throws(() => flatten({ a: null }, isNumber), /Cannot use null at "a"/);
  throws(() => flatten({ a: [() => 1] }, isNumber), /Cannot use function at "a.0"/);
});

Deno.test("a pattern recognises trees of its structure, and hands over their leaves in order", () => {
  const kindOf = (value: unknown) => typeof value === "object" ? undefined : typeof value;
  const tree = { a: [1, { b: "2" }], c: 3, empty: [], none: {} };
  const leavesOf = (other: unknown) => {
    const leaves: unknown[] = [];
    const take = (value: unknown, kind: string) => typeof value === kind && leaves.push(value) > 0;
    return follows(other, patternOf(tree, kindOf), take) ? leaves : undefined;
  };
  deepEqual(leavesOf({ a: [5, { b: "x" }], c: 7, empty: [], none: {} }), [5, "x", 7]);
  const others: unknown[] = [
    { a: [5, { b: "x" }], c: "7", empty: [], none: {} },
    { a: [5, { b: "x" }, 1], c: 7, empty: [], none: {} },
    { a: { 0: 5, 1: { b: "x" } }, c: 7, empty: [], none: {} },
    { a: [5, ["x"]], c: 7, empty: [], none: {} },
    { a: [5, { b: "x" }], empty: [], c: 7, none: {} },
    { a: [5, { b: "x" }], c: 7, empty: [], none: {}, more: 1 },
    { a: [5, { b: "x" }], c: 7, empty: null, none: {} },
    { a: [5, { d: "x" }], c: 7, empty: [], none: {} },
    3,
  ];
  for (const other of others) equal(leavesOf(other), undefined);
});

Deno.test("a table forgets what was used longest ago", () => {
  const recent = new Recent<number>(2);
  let made = 0;
  const get = (key: string) => recent.get(key, () => ++made);
  deepEqual(["a", "b", "a", "c", "a", "b"].map(get), [1, 2, 1, 3, 1, 4]);
});

Deno.test("numbers become WGSL literals that give them back", () => {
  equal(wgslLiteral(1, "float32"), "1.0f");
  equal(wgslLiteral(1e21, "float32"), `${Math.fround(1e21)}f`);
  equal(wgslLiteral(0.1, "float16"), `${Math.f16round(0.1)}f`);
  equal(wgslLiteral(-0, "float32"), "bitcast<f32>(0x80000000u ^ zero_bits)");
  equal(wgslLiteral(-Number.MAX_VALUE, "float32"), "bitcast<f32>(0xff800000u ^ zero_bits)");
  equal(wgslLiteral(-1, "uint32"), "4294967295u");
  equal(wgslLiteral(-5, "int32"), "i32(-5)");
  for (const value of [Infinity, -Infinity, NaN]) match(wgslLiteral(value, "float32"), /bitcast/);
});

Deno.test("integers saturate and floats do not", () => {
  deepEqual([saturate(-Infinity, "int32"), saturate(1e20, "uint32"), saturate(-3, "uint32")], [-(2 ** 31), 2 ** 32 - 256, 0]);
  equal(saturate(1e300, "float32"), 1e300);
  deepEqual([wideArray("float16", 2), wideArray("int32", 1)], [new Float64Array(2), new Int32Array(1)]);
});

/** Bundled into one file, as for a page, the library does not know its own frames. */
const isBundled = !import.meta.url.startsWith("file:");

Deno.test("an error keeps its message and loses the frames of the library", { ignore: isBundled }, () => {
  const library = new URL("../../src/tensor.ts", import.meta.url).href;
  const error = new Error("wrong");
  error.stack =
    `Error: wrong\n    at a (${library}:1:1)\n    at Array.map (<anonymous>)\n    at b (${library}:2:2)\n    at mine (file:///mine.ts:3:3)`;
  equal(atCaller(error), error);
  equal(error.stack, "Error: wrong\n    at mine (file:///mine.ts:3:3)");
  const inside = new Error("inside");
  inside.stack = `Error: inside\n    at a (${library}:1:1)`;
  equal(atCaller(inside).stack, `Error: inside\n    at a (${library}:1:1)`);
});
