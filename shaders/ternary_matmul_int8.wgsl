// Product with packed ternary weights in whole numbers: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] *
// code[n, k], where X is bytes in two's complement, four to a word, none below -127.
//
// Weights lie as in ternary_matmul.wgsl. One multiplication serves two rows: the halves of a word, moved to the lowest bits of each,
// are codes plus 2, from 1 to 3. Over RUN columns their products with bytes stay below 2^15 in magnitude, so that sums never leave
// their half; twice the sum of the bytes is taken away in the end.

// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

const LANES = 8u;
// Columns, in eights, between two extractions: 64 * 3 * 127 < 2^15.
const RUN = 8u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;
alias Sums = vec4<i32>;
alias Block = mat4x4<Element>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Columns of Y.
  rows: u32,
  // Columns of X, in eights.
  eights: u32,
  // Columns that share a scale, in eights.
  group: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>;
@group(0) @binding(4) var<uniform> params: Params;

// Sums of the other slices: for each slice and lane rows 0 to 3 of every token, then rows 4 to 7.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * 2u>;

fn load_x(at: u32) -> Words {
  return x[at]; //: load
}

fn load_codes(at: u32) -> Words {
  return codes[at]; //: load
}

fn load_scales(at: u32) -> Quad {
  return scales[at]; //: load
}

// Four neighbouring bytes of a word.
fn bytes_of(word: u32) -> Sums {
  return bitcast<Sums>(Words(word << 24u, word << 16u, word << 8u, word)) >> Words(24u);
}

// Eight columns of a row of X.
struct Eight {
  first: Sums,
  second: Sums,
}

fn eight_of_x(token: u32, eight: u32) -> Eight {
  let at = min(token, params.tokens - 1u) * params.eights + eight;
  let four = load_x(at / 2u);
  let pair = select(four.xy, four.zw, vec2(at % 2u == 1u));
  return Eight(bytes_of(pair.x), bytes_of(pair.y));
}

// Codes plus 2 of a column, for rows i in the lower and i + 4 in the upper half.
fn codes_at(words: Words, shift: u32) -> Sums {
  return bitcast<Sums>((words >> Words(shift)) & Words(0x00030003u));
}

fn products(words: Words, eight: Eight) -> Sums {
  return codes_at(words, 0u) * eight.first.x + codes_at(words, 2u) * eight.first.y +
    codes_at(words, 4u) * eight.first.z + codes_at(words, 6u) * eight.first.w +
    codes_at(words, 8u) * eight.second.x + codes_at(words, 10u) * eight.second.y +
    codes_at(words, 12u) * eight.second.z + codes_at(words, 14u) * eight.second.w;
}

fn lower(sums: Sums) -> Sums {
  return (sums << Words(16u)) >> Words(16u);
}

fn twice_total(bytes: Sums) -> i32 {
  return 2 * (bytes.x + bytes.y + bytes.z + bytes.w);
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let lane = member % LANES;
  let slice = member / LANES;
  let tile = workgroup.y * workgroups.x + workgroup.x;
  let token_tiles = (params.tokens + TOKENS - 1u) / TOKENS;
  let panel = tile / token_tiles;
  let token = tile % token_tiles * TOKENS;
  if (panel * LANES * 8u >= params.rows) {
    return;
  }

  var low = Block();
  var high = Block();
  let groups = params.eights / params.group;
  for (var group = slice; group < groups; group += SLICES) {
    let scale = ((panel * groups + group) * LANES + lane) * 2u;
    let low_scale = load_scales(scale);
    let high_scale = load_scales(scale + 1u);
    let group_end = (group + 1u) * params.group;
    for (var start = group * params.group; start < group_end; start += RUN) {
      var sums0 = Sums();
      var sums1 = Sums();
      var sums2 = Sums();
      var sums3 = Sums();
      var bytes0 = Sums();
      var bytes1 = Sums();
      var bytes2 = Sums();
      var bytes3 = Sums();
      let end = min(start + RUN, group_end);
      for (var eight = start; eight < end; eight++) {
        let words = load_codes((panel * params.eights + eight) * LANES + lane) ^ Words(0xaaaaaaaau);
        let x0 = eight_of_x(token, eight);
        sums0 += products(words, x0);
        bytes0 += x0.first + x0.second;
        if (TOKENS > 1u) {
          let x1 = eight_of_x(token + 1u, eight);
          sums1 += products(words, x1);
          bytes1 += x1.first + x1.second;
          let x2 = eight_of_x(token + 2u, eight);
          sums2 += products(words, x2);
          bytes2 += x2.first + x2.second;
          let x3 = eight_of_x(token + 3u, eight);
          sums3 += products(words, x3);
          bytes3 += x3.first + x3.second;
        }
      }
      let lower0 = lower(sums0);
      low[0] += Quad(lower0 - twice_total(bytes0)) * low_scale;
      high[0] += Quad(((sums0 - lower0) >> Words(16u)) - twice_total(bytes0)) * high_scale;
      if (TOKENS > 1u) {
        let lower1 = lower(sums1);
        low[1] += Quad(lower1 - twice_total(bytes1)) * low_scale;
        high[1] += Quad(((sums1 - lower1) >> Words(16u)) - twice_total(bytes1)) * high_scale;
        let lower2 = lower(sums2);
        low[2] += Quad(lower2 - twice_total(bytes2)) * low_scale;
        high[2] += Quad(((sums2 - lower2) >> Words(16u)) - twice_total(bytes2)) * high_scale;
        let lower3 = lower(sums3);
        low[3] += Quad(lower3 - twice_total(bytes3)) * low_scale;
        high[3] += Quad(((sums3 - lower3) >> Words(16u)) - twice_total(bytes3)) * high_scale;
      }
    }
  }

  if (SLICES > 1u) {
    for (var t = 0u; t < TOKENS; t++) {
      partial[(member * TOKENS + t) * 2u] = low[t];
      partial[(member * TOKENS + t) * 2u + 1u] = high[t];
    }
    workgroupBarrier();
    if (slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var t = 0u; t < TOKENS; t++) {
        let at = ((other * LANES + lane) * TOKENS + t) * 2u;
        low[t] += partial[at];
        high[t] += partial[at + 1u];
      }
    }
  }
  let row = (panel * LANES + lane) * 8u;
  for (var t = 0u; t < TOKENS; t++) {
    for (var i = 0u; i < 4u; i++) {
      if (token + t < params.tokens && row + i < params.rows) {
        out[(token + t) * params.rows + row + i] = low[t][i];
      }
      if (token + t < params.tokens && row + 4u + i < params.rows) {
        out[(token + t) * params.rows + row + 4u + i] = high[t][i];
      }
    }
  }
}
