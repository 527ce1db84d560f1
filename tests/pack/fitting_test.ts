import { fits, fittingGroups, groupFor, misfit, whatFits } from "../../src/pack/fitting.ts";
import { packedFormats } from "../../src/pack/formats.ts";
import { deepEqual, equal, ok } from "../assert.ts";

const smol = [[576, 576], [192, 576], [1536, 576], [576, 1536]];

Deno.test("groups that fit are those that divide every row and that the format holds", () => {
  deepEqual(fittingGroups("q2_0", smol), [64, 192, -1, 0]);
  deepEqual(fittingGroups("tq2_0", smol), []);
  deepEqual(fittingGroups("bitnet", smol), [0]);
  deepEqual(fittingGroups("dense", [[172, 64], [64, 172]]), [-1, 0]);
  equal(misfit("tq2_0", smol), "takes rows that are multiples of 256, and some have 576");
  equal(misfit("bitnet", [[6, 64]]), "takes a multiple of 4 rows, and matrices have 6");
  equal(groupFor("q2_0", smol), 64);
  equal(groupFor("i2_s", [[128, 256]]), 0);
  equal(groupFor("tq1_0", smol), undefined);
  ok(fits("f16", smol, 7) === false && fits("f16", smol, 24)); // a divisor of every row
  equal(whatFits([[64, 172]], 0), "bitnet, dense, f16");
  equal(whatFits([[64, 172], [172, 64]]), "bitnet with 0; dense with -1 or 0; f16 with -1 or 0");
});

Deno.test("what is said to fit is packed, and what is said not to fit is refused", () => {
  for (const [rows, columns] of [[4, 64], [3, 128], [8, 172], [4, 256]]) {
    for (const [name, format] of Object.entries(packedFormats)) {
      for (const groupSize of [0, -1, 4, 32, 43, 64, 128, 256]) {
        const scales = groupSize === 0 ? 1 : groupSize === -1 ? rows : rows * columns / groupSize;
        const matrix = {
          codes: new Int8Array(rows * columns),
          scales: new Float32Array(Math.ceil(scales)).fill(1),
          rows,
          columns,
          groupSize,
        };
        const isPacked = (() => {
          try {
            return format.pack(matrix).length > 0;
          } catch {
            return false;
          }
        })();
        equal(
          fits(name as keyof typeof packedFormats, [[rows, columns]], groupSize),
          isPacked,
          `${name} ${rows}×${columns} ${groupSize}`,
        );
      }
    }
  }
});
