// Product with packed ternary weights in whole numbers, four products an instruction: Y[t, n] = sum over groups g of scale[n, g] * sum
// over k in g of X[t, k] * code[n, k], where X is bytes in two's complement: of sixteen columns, byte b of word j is column 4 b + j.
//
// Weights lie as in ternary_matmul.wgsl, in groups of a multiple of sixteen columns. Halves of words for eight columns and for the next
// eight make words of sixteen codes of one row. Every fourth code of these, plus 2, lies in the lowest bits of a byte, and is multiplied
// by the byte of X for the same column; twice the sum of the bytes is taken away in the end.
requires packed_4x8_integer_dot_product;

const UNIT = 1.0;
// Quads of rows in a block.
const QUADS = 2u;

//: include ternary

alias Whole = vec4<i32>;

// Codes plus 2 of sixteen columns: of rows i, and of rows i + 4.
struct Sixteen {
  first: Words,
  second: Words,
}

fn codes_of(place: Place, index: u32, sixteen: u32) -> Sixteen {
  let at = (panel_at(place, index) * params.eights + sixteen * 2u) * LANES + place.lane;
  let left = load_codes(at) ^ Words(0xaaaaaaaau);
  let right = load_codes(at + LANES) ^ Words(0xaaaaaaaau);
  return Sixteen((left & Words(0xffffu)) | (right << Words(16u)), (left >> Words(16u)) | (right & Words(0xffff0000u)));
}

fn sixteen_of_x(token: u32, sixteen: u32) -> Words {
  return load_x(min(token, params.tokens - 1u) * (params.eights / 2u) + sixteen);
}

fn dots(codes: Words, x: u32) -> Whole {
  let bytes = codes & Words(0x03030303u);
  return Whole(dot4I8Packed(bytes.x, x), dot4I8Packed(bytes.y, x), dot4I8Packed(bytes.z, x), dot4I8Packed(bytes.w, x));
}

fn products(codes: Words, x: Words) -> Whole {
  return dots(codes, x.x) + dots(codes >> Words(2u), x.y) + dots(codes >> Words(4u), x.z) + dots(codes >> Words(6u), x.w);
}

// Sums of products, in pairs by column, and twice those of the bytes, by row of X.
struct Wholes {
  products: array<Whole, 16>,
  bytes: vec4<i32>,
}

fn add(sums: ptr<function, Wholes>, column: u32, codes: Sixteen, x: Words) {
  (*sums).products[column * 2u] += products(codes.first, x);
  (*sums).products[column * 2u + 1u] += products(codes.second, x);
}

fn twice(x: Words) -> i32 {
  let twos = 0x02020202u;
  return dot4I8Packed(x.x, twos) + dot4I8Packed(x.y, twos) + dot4I8Packed(x.z, twos) + dot4I8Packed(x.w, twos);
}

fn in_floats(sums: Wholes) -> Sums {
  var result = Sums();
  for (var column = 0u; column < TOKENS * PANELS; column++) {
    let excess = Whole(sums.bytes[column % TOKENS]);
    result[column * 2u] = Quad(sums.products[column * 2u] - excess);
    result[column * 2u + 1u] = Quad(sums.products[column * 2u + 1u] - excess);
  }
  return result;
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
      var sums = Wholes();
      var sixteen = span * params.span / 2u;
      let end = sixteen + params.span / 2u;
      loop {
        let codes = codes_of(place, 0u, sixteen);
        let x = sixteen_of_x(place.token, sixteen);
        add(&sums, 0u, codes, x);
        sums.bytes.x += twice(x);
        if (TOKENS > 1u) {
          let x1 = sixteen_of_x(place.token + 1u, sixteen);
          let x2 = sixteen_of_x(place.token + 2u, sixteen);
          let x3 = sixteen_of_x(place.token + 3u, sixteen);
          add(&sums, 1u, codes, x1);
          add(&sums, 2u, codes, x2);
          add(&sums, 3u, codes, x3);
          sums.bytes += Whole(0, twice(x1), twice(x2), twice(x3));
          if (PANELS > 1u) {
            let others = codes_of(place, 1u, sixteen);
            add(&sums, 4u, others, x);
            add(&sums, 5u, others, x1);
            add(&sums, 6u, others, x2);
            add(&sums, 7u, others, x3);
          }
        } else if (PANELS > 1u) {
          add(&sums, 1u, codes_of(place, 1u, sixteen), x);
          if (PANELS > 2u) {
            add(&sums, 2u, codes_of(place, 2u, sixteen), x);
            add(&sums, 3u, codes_of(place, 3u, sixteen), x);
          }
        }
        sixteen++;
        if (sixteen >= end) {
          break;
        }
      }
      collect_all(&total, in_floats(sums), place, group_of(span));
      span += SLICES;
      if (span >= spans) {
        break;
      }
    }
  }
  finish(total, place);
}
