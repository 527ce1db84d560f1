// Product with packed ternary weights in whole numbers: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] *
// code[n, k], where X is bytes in two's complement, four to a word, none below -127.
//
// Weights lie as in ternary_matmul.wgsl. One multiplication serves two rows: the halves of a word, moved to the lowest bits of each,
// are codes plus 2, from 1 to 3. Over RUN columns their products with bytes stay below 2^15 in magnitude, so that sums never leave
// their half; twice the sum of the bytes is taken away in the end.

//: include ternary

// Columns, in eights, between two extractions: 64 * 3 * 127 < 2^15.
const RUN = 8u;

alias Whole = vec4<i32>;

// Four neighbouring bytes of a word.
fn bytes_of(word: u32) -> Whole {
  return bitcast<Whole>(Words(word << 24u, word << 16u, word << 8u, word)) >> Words(24u);
}

// Eight columns of a row of X.
struct Eight {
  first: Whole,
  second: Whole,
}

fn eight_of_x(token: u32, eight: u32) -> Eight {
  let at = min(token, params.tokens - 1u) * params.eights + eight;
  let four = load_x(at / 2u);
  let pair = select(four.xy, four.zw, vec2(at % 2u == 1u));
  return Eight(bytes_of(pair.x), bytes_of(pair.y));
}

// Codes plus 2 of a column, for rows i in the lower and i + 4 in the upper half.
fn codes_at(words: Words, shift: u32) -> Whole {
  return bitcast<Whole>((words >> Words(shift)) & Words(0x00030003u));
}

// Sums over a run of columns of pairs of products, and of the bytes, by column of the blocks.
struct Run {
  pairs: array<Whole, 4>,
  bytes: array<Whole, 4>,
}

fn add(run: ptr<function, Run>, column: u32, words: Words, x: Eight) {
  let flipped = words ^ Words(0xaaaaaaaau);
  (*run).pairs[column] += codes_at(flipped, 0u) * x.first.x + codes_at(flipped, 2u) * x.first.y +
    codes_at(flipped, 4u) * x.first.z + codes_at(flipped, 6u) * x.first.w +
    codes_at(flipped, 8u) * x.second.x + codes_at(flipped, 10u) * x.second.y +
    codes_at(flipped, 12u) * x.second.z + codes_at(flipped, 14u) * x.second.w;
  (*run).bytes[column] += x.first + x.second;
}

fn extract(sums: ptr<function, Sums>, column: u32, pairs: Whole, bytes: Whole) {
  let twice = Whole(2 * (bytes.x + bytes.y + bytes.z + bytes.w));
  let lower = (pairs << Words(16u)) >> Words(16u);
  (*sums).low[column] += Quad(lower - twice);
  (*sums).high[column] += Quad(((pairs - lower) >> Words(16u)) - twice);
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
      let group_end = eight + params.group;
      loop {
        var run = Run();
        let end = min(eight + RUN, group_end);
        loop {
          let words = load_codes(at_codes(place, 0u, eight));
          let first = eight_of_x(place.token, eight);
          add(&run, 0u, words, first);
          if (PANELS > 1u) {
            add(&run, 1u, load_codes(at_codes(place, 1u, eight)), first);
            add(&run, 2u, load_codes(at_codes(place, 2u, eight)), first);
            add(&run, 3u, load_codes(at_codes(place, 3u, eight)), first);
          }
          if (TOKENS > 1u) {
            add(&run, 1u, words, eight_of_x(place.token + 1u, eight));
            add(&run, 2u, words, eight_of_x(place.token + 2u, eight));
            add(&run, 3u, words, eight_of_x(place.token + 3u, eight));
          }
          eight++;
          if (eight >= end) {
            break;
          }
        }
        extract(&sums, 0u, run.pairs[0], run.bytes[0]);
        if (TOKENS * PANELS > 1u) {
          extract(&sums, 1u, run.pairs[1], run.bytes[1]);
          extract(&sums, 2u, run.pairs[2], run.bytes[2]);
          extract(&sums, 3u, run.pairs[3], run.bytes[3]);
        }
        if (eight >= group_end) {
          break;
        }
      }
      scale(&total, 0u, place, group, sums.low[0], sums.high[0]);
      if (TOKENS * PANELS > 1u) {
        scale(&total, 1u, place, group, sums.low[1], sums.high[1]);
        scale(&total, 2u, place, group, sums.low[2], sums.high[2]);
        scale(&total, 3u, place, group, sums.low[3], sums.high[3]);
      }
      group += SLICES;
      if (group >= groups) {
        break;
      }
    }
  }
  finish(total, place);
}
