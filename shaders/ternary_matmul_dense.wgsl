// Product with densely packed ternary weights, five to a byte: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of
// X[t, k] * code[n, k].
//
// A byte b holds codes of five rows as a fraction b / 256 in base three: three times b has the first digit, a code plus one, above its
// lowest eight bits, and the rest of the fraction in them. Four words side by side hold 20 rows by 4 columns: byte c of word i is of
// column c and of the rows i, i + 4, i + 8, i + 12 and i + 16. A panel is 160 rows: eight such blocks, one for each of eight neighbouring
// invocations, lie side by side, then come the next 4 columns. Scales lie the same way, twenty for a block.
//
// An invocation computes 20 rows of each of PANELS panels for TOKENS rows of X; SLICES of them share the columns, a span at a
// time, and add their sums. Loops that run at least once end at their bottom: see ternary_matmul.wgsl.

// Whether X is stored in half precision.
override HALVES: bool = false;
// Whether rows of X are divided by the root of the mean of their squares, and multiplied by the weight of a norm.
override NORMED: bool = false;

const UNIT = 1.0;
// Quads of rows in a block.
const QUADS = 5u;

//: include ternary
//: include ternary_norm

// The codes that a panel has of four columns.
fn codes_of(place: Place, index: u32, four: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights * 2u + four) * LANES + place.lane);
}

fn four_of_x(squares: ptr<function, Quad>, place: Place, index: u32, four: u32) -> Quad {
  let at = min(place.token + index, params.tokens - 1u) * params.eights * 2u + four;
  if (HALVES) {
    let eight = load_x(at / 2u);
    let halves = select(eight.xy, eight.zw, vec2(at % 2u == 1u));
    return Quad(unpack2x16float(halves.x), unpack2x16float(halves.y));
  }
  return normed(squares, index, four, bitcast<Quad>(load_x(at)));
}

// Digits as they lie in words, two columns in each: multiplied by 2^8 in the lower half and 2^24 in the upper half.
fn lower(thrice: Words) -> Quad {
  return Quad(bitcast<vec4<i32>>(thrice & Words(0x300u)));
}

fn upper(thrice: Words) -> Quad {
  return Quad(bitcast<vec4<i32>>(thrice & Words(0x03000000u)));
}

// What is added for four rows: digits of columns 0 and 2, then of columns 1 and 3, times X divided by what they are multiplied by.
fn products(even: Words, odd: Words, x: Quad) -> Quad {
  return lower(even) * x.x + upper(even) * x.z + lower(odd) * x.y + upper(odd) * x.w;
}

// The rest of the fractions.
fn rest(thrice: Words) -> Words {
  return thrice & Words(0x00ff00ffu);
}

fn thrice(fractions: Words) -> Words {
  return (fractions << Words(1u)) + fractions;
}

fn add(sums: ptr<function, Sums>, column: u32, words: Words, x: Quad) {
  let shifted = x * Quad(0x1p-8, 0x1p-8, 0x1p-24, 0x1p-24);
  let even0 = thrice(rest(words));
  let odd0 = thrice(rest(words >> Words(8u)));
  let even1 = thrice(rest(even0));
  let odd1 = thrice(rest(odd0));
  let even2 = thrice(rest(even1));
  let odd2 = thrice(rest(odd1));
  let even3 = thrice(rest(even2));
  let odd3 = thrice(rest(odd2));
  (*sums)[column * 5u] += products(even0, odd0, shifted);
  (*sums)[column * 5u + 1u] += products(even1, odd1, shifted);
  (*sums)[column * 5u + 2u] += products(even2, odd2, shifted);
  (*sums)[column * 5u + 3u] += products(even3, odd3, shifted);
  (*sums)[column * 5u + 4u] += products(thrice(rest(even3)), thrice(rest(odd3)), shifted);
}

// Takes away what the ones added to codes have contributed: the sum of X.
fn correct(sums: ptr<function, Sums>, column: u32, x: Quad) {
  let excess = Quad(dot(x, Quad(1.0)));
  (*sums)[column * 5u] -= excess;
  (*sums)[column * 5u + 1u] -= excess;
  (*sums)[column * 5u + 2u] -= excess;
  (*sums)[column * 5u + 3u] -= excess;
  (*sums)[column * 5u + 4u] -= excess;
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
      var excess = mat4x4<Element>();
      var four = span * params.span * 2u;
      let end = four + params.span * 2u;
      loop {
        let words = codes_of(place, 0u, four);
        let x = four_of_x(&squares, place, 0u, four);
        add(&sums, 0u, words, x);
        excess[0] += x;
        if (TOKENS > 1u) {
          let x1 = four_of_x(&squares, place, 1u, four);
          let x2 = four_of_x(&squares, place, 2u, four);
          let x3 = four_of_x(&squares, place, 3u, four);
          add(&sums, 1u, words, x1);
          add(&sums, 2u, words, x2);
          add(&sums, 3u, words, x3);
          excess[1] += x1;
          excess[2] += x2;
          excess[3] += x3;
        } else if (PANELS > 1u) {
          add(&sums, 1u, codes_of(place, 1u, four), x);
        }
        four++;
        if (four >= end) {
          break;
        }
      }
      correct(&sums, 0u, excess[0]);
      if (TOKENS > 1u) {
        correct(&sums, 1u, excess[1]);
        correct(&sums, 2u, excess[2]);
        correct(&sums, 3u, excess[3]);
      } else if (PANELS > 1u) {
        correct(&sums, 1u, excess[0]);
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
