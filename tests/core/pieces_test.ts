import fc from "fast-check";
import { type Box, boxShape, intersection, piecesOf, rangeBoxes, rangeOf } from "../../src/core/pieces.ts";
import { type Shape, sizeOf } from "../../src/core/shape.ts";
import { deepEqual, equal, ok } from "../assert.ts";

const shapes = fc.array(fc.constantFrom(1, 2, 3, 4, 5, 7, 12, 13), { minLength: 1, maxLength: 4 });

/** Row-major positions of the elements of a box. */
function positions({ start, stop }: Box, shape: Shape): number[] {
  let list = [0];
  shape.forEach((length, axis) => {
    const along = Array.from({ length: stop[axis] - start[axis] }, (_, index) => start[axis] + index);
    list = list.flatMap((position) => along.map((at) => position * length + at));
  });
  return list;
}

const upTo = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

Deno.test("pieces hold all elements in their order, none more than allowed, and not many more of them than needed", () => {
  fc.assert(
    fc.property(shapes, fc.integer({ min: 1, max: 200 }), (shape, most) => {
      const size = sizeOf(shape);
      if (size <= most) return;
      const pieces = piecesOf(shape, most);
      deepEqual(pieces.flatMap((piece) => positions(piece, shape)), upTo(0, size));
      for (const piece of pieces) ok(sizeOf(boxShape(piece)) <= most);
      ok(pieces.length <= 1 + 4 * size / most, `${pieces.length} pieces`);
    }),
    { seed: 4 },
  );
});

Deno.test("a vocabulary is cut in even pieces of a multiple of four rows", () => {
  const pieces = piecesOf([128_256, 2048], 2 ** 25);
  deepEqual(pieces.map((piece) => boxShape(piece)[0]), new Array(8).fill(16_032));
  deepEqual(piecesOf([103, 10], 250).map((piece) => boxShape(piece)[0]), [24, 24, 24, 24, 7]);
  deepEqual(piecesOf([2, 9], 5).map(({ start, stop }) => [...start, ...stop]), [
    [0, 0, 1, 4],
    [0, 4, 1, 8],
    [0, 8, 1, 9],
    [1, 0, 2, 4],
    [1, 4, 2, 8],
    [1, 8, 2, 9],
  ]);
});

Deno.test("elements that lie side by side are a few boxes of any shape, in their order", () => {
  fc.assert(
    fc.property(shapes, fc.nat(), fc.nat(), (shape, a, b) => {
      const size = sizeOf(shape);
      const [from, last] = [a % size, b % size].sort((m, n) => m - n);
      const boxes = rangeBoxes(shape, from, last + 1);
      deepEqual(boxes.flatMap((box) => positions(box, shape)), upTo(from, last + 1));
      ok(boxes.length < 2 * shape.length, `${boxes.length} boxes`);
      for (const box of boxes) {
        const range = rangeOf(box, shape)!;
        deepEqual(positions(box, shape), upTo(range.from, range.to));
      }
    }),
    { seed: 4 },
  );
  equal(rangeOf({ start: [0, 1], stop: [2, 3] }, [2, 3]), undefined);
});

Deno.test("two boxes share what lies in both", () => {
  deepEqual(intersection({ start: [0, 2], stop: [3, 5] }, { start: [2, 0], stop: [9, 3] }), { start: [2, 2], stop: [3, 3] });
  equal(intersection({ start: [0], stop: [3] }, { start: [3], stop: [4] }), undefined);
});
