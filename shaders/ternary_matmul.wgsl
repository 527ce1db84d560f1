// Product with packed ternary weights: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] * code[n, k].
//
// Codes are two bits in two's complement, sixteen to a word. Four words side by side hold 8 rows by 8 columns: word i has row i in
// its lower half and row i + 4 in its upper half, the columns from the lowest bits on. A panel is 64 rows: eight such blocks, one for
// each of eight neighbouring invocations, lie side by side, then come the next 8 columns. Scales lie the same way, eight for a block.
//
// An invocation computes 8 rows of one panel for TOKENS rows of X, or of four panels for one row of X; SLICES of them share the
// columns, a whole group at a time, and add their sums. Loops that run at least once end at their bottom: where a loop ends in the
// middle for eight invocations at a time, the rest of its body runs once more for none.

//: include ternary

// Eight columns of a row of X.
struct Eight {
  first: Quad,
  second: Quad,
}

fn eight_of_x(token: u32, eight: u32) -> Eight {
  let at = (min(token, params.tokens - 1u) * params.eights + eight) * 2u;
  return Eight(bitcast<Quad>(load_x(at)), bitcast<Quad>(load_x(at + 1u)));
}

// Twice the codes that a shift to the left brings to the top: 00, 01 and 11 there are the floats 0, 2 and -2.
fn codes_at(words: Words, shift: u32) -> Quad {
  return bitcast<Quad>((words << Words(shift)) & Words(0xc0000000u));
}

fn add(sums: ptr<function, Sums>, column: u32, words: Words, x: Eight) {
  (*sums).low[column] += codes_at(words, 30u) * x.first.x + codes_at(words, 28u) * x.first.y +
    codes_at(words, 26u) * x.first.z + codes_at(words, 24u) * x.first.w +
    codes_at(words, 22u) * x.second.x + codes_at(words, 20u) * x.second.y +
    codes_at(words, 18u) * x.second.z + codes_at(words, 16u) * x.second.w;
  (*sums).high[column] += codes_at(words, 14u) * x.first.x + codes_at(words, 12u) * x.first.y +
    codes_at(words, 10u) * x.first.z + codes_at(words, 8u) * x.first.w +
    codes_at(words, 6u) * x.second.x + codes_at(words, 4u) * x.second.y +
    codes_at(words, 2u) * x.second.z + codes_at(words, 0u) * x.second.w;
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let place = place_of(workgroup.y * workgroups.x + workgroup.x, member);
  if (is_outside(place)) {
    return;
  }
  var total = Sums();
  let groups = params.eights / params.group;
  var group = place.slice;
  if (group < groups) {
    loop {
      var sums = Sums();
      var eight = group * params.group;
      let end = eight + params.group;
      loop {
        let words = load_codes(at_codes(place, 0u, eight));
        let first = eight_of_x(place.token, eight);
        add(&sums, 0u, words, first);
        if (PANELS > 1u) {
          add(&sums, 1u, load_codes(at_codes(place, 1u, eight)), first);
          add(&sums, 2u, load_codes(at_codes(place, 2u, eight)), first);
          add(&sums, 3u, load_codes(at_codes(place, 3u, eight)), first);
        }
        if (TOKENS > 1u) {
          add(&sums, 1u, words, eight_of_x(place.token + 1u, eight));
          add(&sums, 2u, words, eight_of_x(place.token + 2u, eight));
          add(&sums, 3u, words, eight_of_x(place.token + 3u, eight));
        }
        eight++;
        if (eight >= end) {
          break;
        }
      }
      scale(&total, 0u, place, group, 0.5 * sums.low[0], 0.5 * sums.high[0]);
      if (TOKENS * PANELS > 1u) {
        scale(&total, 1u, place, group, 0.5 * sums.low[1], 0.5 * sums.high[1]);
        scale(&total, 2u, place, group, 0.5 * sums.low[2], 0.5 * sums.high[2]);
        scale(&total, 3u, place, group, 0.5 * sums.low[3], 0.5 * sums.high[3]);
      }
      group += SLICES;
      if (group >= groups) {
        break;
      }
    }
  }
  finish(total, place);
}
