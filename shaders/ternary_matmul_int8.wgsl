// Product with packed ternary weights in whole numbers: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] *
// code[n, k], where X is bytes in two's complement, none below -127: of sixteen columns, byte b of word j is column 4 b + j.
//
// Weights lie as in ternary_matmul.wgsl. One multiplication serves two rows: the halves of a word, moved to the lowest bits of each,
// are codes plus 2, from 1 to 3. Over RUN columns their products with bytes stay below 2^15 in magnitude, so that sums never leave
// their half; twice the sum of the bytes is taken away in the end.

const UNIT = 1.0;
// Quads of rows in a block.
const QUADS = 2u;

//: include ternary

// Columns, in eights, between two extractions: 64 * 3 * 127 < 2^15.
const RUN = 8u;

alias Whole = vec4<i32>;

// The codes that a panel has of eight columns.
fn codes_of(place: Place, index: u32, eight: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights + eight) * LANES + place.lane);
}

// Eight columns of a row of X.
struct Eight {
  first: Whole,
  second: Whole,
}

fn eight_of_x(token: u32, eight: u32) -> Eight {
  let sixteen = load_x(min(token, params.tokens - 1u) * ((params.eights + 1u) / 2u) + eight / 2u);
  let bytes = sixteen << Words(select(16u, 0u, eight % 2u == 1u));
  return Eight(bitcast<Whole>(bytes << Words(8u)) >> Words(24u), bitcast<Whole>(bytes) >> Words(24u));
}

// Codes plus 2 of a column, for rows i in the lower and i + 4 in the upper half.
fn codes_at(words: Words, shift: u32) -> Whole {
  return bitcast<Whole>((words >> Words(shift)) & Words(0x00030003u));
}

// Sums over a run of columns of pairs of products, by column, and of the bytes, by row of X.
struct Run {
  pairs: array<Whole, 8>,
  bytes: array<Whole, 4>,
}

fn add(run: ptr<function, Run>, column: u32, words: Words, x: Eight) {
  let flipped = words ^ Words(0xaaaaaaaau);
  (*run).pairs[column] += codes_at(flipped, 0u) * x.first.x + codes_at(flipped, 2u) * x.first.y +
    codes_at(flipped, 4u) * x.first.z + codes_at(flipped, 6u) * x.first.w +
    codes_at(flipped, 8u) * x.second.x + codes_at(flipped, 10u) * x.second.y +
    codes_at(flipped, 12u) * x.second.z + codes_at(flipped, 14u) * x.second.w;
  if (column < TOKENS) {
    (*run).bytes[column] += x.first + x.second;
  }
}

fn extract(sums: ptr<function, Sums>, column: u32, run: Run) {
  let bytes = run.bytes[column % TOKENS];
  let twice = Whole(2 * (bytes.x + bytes.y + bytes.z + bytes.w));
  let pairs = run.pairs[column];
  let lower = (pairs << Words(16u)) >> Words(16u);
  (*sums)[column * 2u] += Quad(lower - twice);
  (*sums)[column * 2u + 1u] += Quad(((pairs - lower) >> Words(16u)) - twice);
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
  let spans = params.eights / params.span;
  var span = place.slice;
  if (span < spans) {
    loop {
      var sums = Sums();
      var eight = span * params.span;
      let span_end = eight + params.span;
      loop {
        var run = Run();
        let end = min(eight + RUN, span_end);
        loop {
          let words = codes_of(place, 0u, eight);
          let x = eight_of_x(place.token, eight);
          add(&run, 0u, words, x);
          if (TOKENS > 1u) {
            let x1 = eight_of_x(place.token + 1u, eight);
            let x2 = eight_of_x(place.token + 2u, eight);
            let x3 = eight_of_x(place.token + 3u, eight);
            add(&run, 1u, words, x1);
            add(&run, 2u, words, x2);
            add(&run, 3u, words, x3);
            if (PANELS > 1u) {
              let others = codes_of(place, 1u, eight);
              add(&run, 4u, others, x);
              add(&run, 5u, others, x1);
              add(&run, 6u, others, x2);
              add(&run, 7u, others, x3);
            }
          } else if (PANELS > 1u) {
            add(&run, 1u, codes_of(place, 1u, eight), x);
            if (PANELS > 2u) {
              add(&run, 2u, codes_of(place, 2u, eight), x);
              add(&run, 3u, codes_of(place, 3u, eight), x);
            }
          }
          eight++;
          if (eight >= end) {
            break;
          }
        }
        extract(&sums, 0u, run);
        if (TOKENS * PANELS > 1u) {
          extract(&sums, 1u, run);
        }
        if (TOKENS * PANELS > 2u) {
          extract(&sums, 2u, run);
          extract(&sums, 3u, run);
        }
        if (TOKENS * PANELS > 4u) {
          extract(&sums, 4u, run);
          extract(&sums, 5u, run);
          extract(&sums, 6u, run);
          extract(&sums, 7u, run);
        }
        if (eight >= span_end) {
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
  finish(total, place);
}
