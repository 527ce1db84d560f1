import { unrolled } from "../../src/kernels/unrolled.ts";
import { equal } from "../assert.ts";

Deno.test("marked loops are written out, one within another, as often as sizes and numbers say", () => {
  const source = `const ROWS = 8u; //: size
fn main() {
  for (var row = 0u; row < ROWS; row++) { //: unroll
    for (var e = 0u; e < 2u; e++) { //: unroll
      rows[row + 1u] += e;
    }
  }
  for (var row = 0u; row < ROWS; row++) {
    rows[row] = 0u;
  }
}
`;
  equal(
    unrolled(source, { ROWS: 2 }),
    `const ROWS = 2u;
fn main() {
  {
    {
      rows[0u + 1u] += 0u;
    }
    {
      rows[0u + 1u] += 1u;
    }
  }
  {
    {
      rows[1u + 1u] += 0u;
    }
    {
      rows[1u + 1u] += 1u;
    }
  }
  for (var row = 0u; row < ROWS; row++) {
    rows[row] = 0u;
  }
}
`,
  );
});
