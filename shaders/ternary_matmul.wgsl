// Product with packed ternary weights: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] * code[n, k].
//
// Codes are two bits in two's complement, sixteen to a word. Four words side by side hold 8 rows by 8 columns: word i has row i in
// its lower half and row i + 4 in its upper half, the columns from the lowest bits on. A panel is 64 rows: eight such blocks, one for
// each of eight neighbouring invocations, lie side by side, then come the next 8 columns. Scales lie the same way, eight for a block.
//
// An invocation computes 8 rows of each of PANELS panels for TOKENS rows of X; SLICES of them share the columns, a span at a time,
// and add their sums. Loops that run at least once end at their bottom: where a loop ends in the
// middle for eight invocations at a time, the rest of its body runs once more for none.

// Whether X is stored in half precision.
override HALVES: bool = false;
// Whether rows of X are divided by the root of the mean of their squares, and multiplied by the weight of a norm.
override NORMED: bool = false;

// What codes are read as their doubles must be multiplied by.
const UNIT = 0.5;
// Quads of rows in a block.
const QUADS = 2u;

//: include ternary
//: include ternary_norm

// The codes that a panel has of eight columns.
fn codes_of(place: Place, index: u32, eight: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights + eight) * LANES + place.lane);
}

fn halves_of(words: vec2<u32>) -> Quad {
  return Quad(unpack2x16float(words.x), unpack2x16float(words.y));
}

// Eight columns of a row of X.
struct Eight {
  first: Quad,
  second: Quad,
}

fn eight_of_x(squares: ptr<function, Quad>, place: Place, index: u32, eight: u32) -> Eight {
  let at = min(place.token + index, params.tokens - 1u) * params.eights + eight;
  if (HALVES) {
    let halves = load_x(at);
    return Eight(halves_of(halves.xy), halves_of(halves.zw));
  }
  let first = bitcast<Quad>(load_x(at * 2u));
  let second = bitcast<Quad>(load_x(at * 2u + 1u));
  return Eight(normed(squares, index, eight * 2u, first), normed(squares, index, eight * 2u + 1u, second));
}

// Twice the codes that a shift to the left brings to the top, where 00, 01 and 11 are the floats 0, 2 and -2.
fn codes_at(words: Words, shift: u32) -> Quad {
  return bitcast<Quad>((words << Words(shift)) & Words(0xc0000000u));
}

fn add(sums: ptr<function, Sums>, column: u32, words: Words, x: Eight) {
  (*sums)[column * 2u] += codes_at(words, 30u) * x.first.x + codes_at(words, 28u) * x.first.y +
    codes_at(words, 26u) * x.first.z + codes_at(words, 24u) * x.first.w +
    codes_at(words, 22u) * x.second.x + codes_at(words, 20u) * x.second.y +
    codes_at(words, 18u) * x.second.z + codes_at(words, 16u) * x.second.w;
  (*sums)[column * 2u + 1u] += codes_at(words, 14u) * x.first.x + codes_at(words, 12u) * x.first.y +
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
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (is_outside(tile)) {
    return;
  }
  let place = place_of(tile, member);
  var total = Sums();
  var squares = Quad();
  let spans = params.eights / params.span;
  var span = place.slice;
  if (span < spans) {
    loop {
      var sums = Sums();
      var eight = span * params.span;
      let end = eight + params.span;
      loop {
        let words = codes_of(place, 0u, eight);
        let x = eight_of_x(&squares, place, 0u, eight);
        add(&sums, 0u, words, x);
        if (TOKENS > 1u) {
          let x1 = eight_of_x(&squares, place, 1u, eight);
          let x2 = eight_of_x(&squares, place, 2u, eight);
          let x3 = eight_of_x(&squares, place, 3u, eight);
          add(&sums, 1u, words, x1);
          add(&sums, 2u, words, x2);
          add(&sums, 3u, words, x3);
          if (PANELS > 1u) {
            let others = codes_of(place, 1u, eight);
            add(&sums, 4u, others, x);
            add(&sums, 5u, others, x1);
            add(&sums, 6u, others, x2);
            add(&sums, 7u, others, x3);
          }
        } else if (PANELS > 1u) {
          add(&sums, 1u, codes_of(place, 1u, eight), x);
          if (PANELS > 2u) {
            add(&sums, 2u, codes_of(place, 2u, eight), x);
            add(&sums, 3u, codes_of(place, 3u, eight), x);
          }
        }
        eight++;
        if (eight >= end) {
          break;
        }
      }
      collect_all(&total, sums, place, group_of(span));
      span += SLICES;
      if (span >= spans) {
        break;
      }
    }
  }
  divide(&total, squares, place);
  finish(total, place);
}
