// Product with a half-precision table: Y[t, n] = sum over k of X[t, k] * W[n, k], as the output head needs for one token.
//
// Halves lie two to a word, eight columns of a row in four words. A panel is 64 rows: their first eight columns lie side by side, then
// come the next eight, so that a panel is read from its beginning to its end. LANES neighbouring invocations take a row each, and
// then the LANES rows after those, ROWS times; SLICES of them share the columns and add their sums.

// Rows of W that one invocation takes: 8 or 1.
override ROWS: u32 = 8;
// Neighbouring rows that as many invocations take: 64 / ROWS.
override LANES: u32 = 8;
// Invocations that share the columns.
override SLICES: u32 = 1;

const PANEL = 64u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Rows of W, columns of Y.
  rows: u32,
  // Columns of X and W, in eights.
  eights: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> table: array<Words>; //: input
@group(0) @binding(2) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<Element, PANEL * SLICES>;

fn load_x(at: u32) -> Quad {
  return x[at]; //: load
}

fn load_table(at: u32) -> Words {
  return table[at]; //: load
}

// Four partial sums of eight products.
fn products(words: Words, first: Quad, second: Quad) -> Quad {
  return Quad(unpack2x16float(words.x), unpack2x16float(words.y)) * first +
    Quad(unpack2x16float(words.z), unpack2x16float(words.w)) * second;
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
  let token = tile % params.tokens;
  let panel = tile / params.tokens;
  if (panel * PANEL >= params.rows) {
    return;
  }

  var sums: array<Quad, 8>;
  var eight = slice;
  if (eight < params.eights) {
    loop { // ends at its bottom: see ternary_matmul.wgsl
      let first = load_x((token * params.eights + eight) * 2u);
      let second = load_x((token * params.eights + eight) * 2u + 1u);
      let at = (panel * params.eights + eight) * PANEL + lane;
      sums[0] += products(load_table(at), first, second);
      if (ROWS > 1u) {
        sums[1] += products(load_table(at + 1u * LANES), first, second);
        sums[2] += products(load_table(at + 2u * LANES), first, second);
        sums[3] += products(load_table(at + 3u * LANES), first, second);
        sums[4] += products(load_table(at + 4u * LANES), first, second);
        sums[5] += products(load_table(at + 5u * LANES), first, second);
        sums[6] += products(load_table(at + 6u * LANES), first, second);
        sums[7] += products(load_table(at + 7u * LANES), first, second);
      }
      eight += SLICES;
      if (eight >= params.eights) {
        break;
      }
    }
  }
  var results: array<Element, 8>;
  for (var i = 0u; i < ROWS; i++) {
    results[i] = dot(sums[i], Quad(1.0));
  }
  if (SLICES > 1u) {
    for (var i = 0u; i < ROWS; i++) {
      partial[slice * PANEL + i * LANES + lane] = results[i];
    }
    workgroupBarrier();
    if (slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var i = 0u; i < ROWS; i++) {
        results[i] += partial[other * PANEL + i * LANES + lane];
      }
    }
  }
  for (var i = 0u; i < ROWS; i++) {
    let row = panel * PANEL + i * LANES + lane;
    if (row < params.rows) {
      out[token * params.rows + row] = results[i];
    }
  }
}
