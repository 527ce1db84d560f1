import { inTurns } from "../../src/kernels/row_text.ts";
import { equal } from "../assert.ts";

Deno.test("a marked loop takes several quads in each turn, one statement after another, and once what concerns no quad", () => {
  const stored = `fn main() {
  for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
    let v = x_at(first + quad);
    var sum = v;
    for (var row = 0u; row < 2u; row++) {
      sum += row * v;
    }
    total += sum;
    turns += 1u;
  }
  for (var quad = member; quad < params.quads; quad += MEMBERS) {
    out[quad] = total;
  }
}
`;
  const wanted = `fn main() {
  for (var quad = member; quad < params.quads; quad += 2u) {
    let v_0 = x_at(first + (quad + 0u));
    let v_1 = x_at(first + (quad + 1u));
    var sum_0 = v_0;
    var sum_1 = v_1;
    for (var row = 0u; row < 2u; row++) {
      sum_0 += row * v_0;
      sum_1 += row * v_1;
    }
    total += sum_0;
    total += sum_1;
    turns += 1u;
  }
  for (var quad = member; quad < params.quads; quad += MEMBERS) {
    out[quad] = total;
  }
}
`;
  equal(inTurns(stored, 2), wanted);
});
