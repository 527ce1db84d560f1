// Product with packed ternary weights: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] * code[n, k].
//
// Codes are two bits in two's complement, sixteen to a word. Four words side by side hold 8 rows by 8 columns: word i has row i in
// its lower half and row i + 4 in its upper half, the columns from the lowest bits on. A panel is 64 rows: eight such blocks, one for
// each of eight neighbouring invocations, lie side by side, then come the next 8 columns. Scales lie the same way, eight for a block.
//
// An invocation computes 8 rows for TOKENS rows of X; SLICES of them share the columns, a whole group at a time, and add their sums.

// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

const LANES = 8u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;
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

@group(0) @binding(0) var<storage, read> x: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>;
@group(0) @binding(4) var<uniform> params: Params;

// Sums of the other slices: for each slice and lane rows 0 to 3 of every token, then rows 4 to 7.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * 2u>;

fn load_x(at: u32) -> Quad {
  return x[at]; //: load
}

fn load_codes(at: u32) -> Words {
  return codes[at]; //: load
}

fn load_scales(at: u32) -> Quad {
  return scales[at]; //: load
}

// Four columns of X from a position in fours: column i of the block has element i of each token.
fn columns_of_x(first: u32, at: u32) -> Block {
  let pitch = params.eights * 2u;
  let own = load_x(first * pitch + at);
  if (TOKENS == 1u) {
    return Block(Quad(own.x), Quad(own.y), Quad(own.z), Quad(own.w));
  }
  let last = params.tokens - 1u;
  return transpose(Block(
    own,
    load_x(min(first + 1u, last) * pitch + at),
    load_x(min(first + 2u, last) * pitch + at),
    load_x(min(first + 3u, last) * pitch + at),
  ));
}

// Two bits of each word, as numbers: those that a shift to the left brings to the top.
fn codes_at(words: Words, shift: u32) -> Quad {
  return Quad(bitcast<vec4<i32>>(words << Words(shift)) >> Words(30u));
}

fn add(sum: Block, rows: Quad, tokens: Quad) -> Block {
  if (TOKENS == 1u) {
    return Block(sum[0] + rows * tokens.x, sum[1], sum[2], sum[3]);
  }
  return Block(sum[0] + rows * tokens.x, sum[1] + rows * tokens.y, sum[2] + rows * tokens.z, sum[3] + rows * tokens.w);
}

fn scaled(sum: Block, scale: Quad) -> Block {
  return Block(sum[0] * scale, sum[1] * scale, sum[2] * scale, sum[3] * scale);
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
    var a = Block();
    var b = Block();
    let end = (group + 1u) * params.group;
    for (var eight = group * params.group; eight < end; eight++) {
      let words = load_codes((panel * params.eights + eight) * LANES + lane);
      let first = columns_of_x(token, eight * 2u);
      a = add(a, codes_at(words, 30u), first[0]);
      b = add(b, codes_at(words, 14u), first[0]);
      a = add(a, codes_at(words, 28u), first[1]);
      b = add(b, codes_at(words, 12u), first[1]);
      a = add(a, codes_at(words, 26u), first[2]);
      b = add(b, codes_at(words, 10u), first[2]);
      a = add(a, codes_at(words, 24u), first[3]);
      b = add(b, codes_at(words, 8u), first[3]);
      let second = columns_of_x(token, eight * 2u + 1u);
      a = add(a, codes_at(words, 22u), second[0]);
      b = add(b, codes_at(words, 6u), second[0]);
      a = add(a, codes_at(words, 20u), second[1]);
      b = add(b, codes_at(words, 4u), second[1]);
      a = add(a, codes_at(words, 18u), second[2]);
      b = add(b, codes_at(words, 2u), second[2]);
      a = add(a, codes_at(words, 16u), second[3]);
      b = add(b, codes_at(words, 0u), second[3]);
    }
    let scale = ((panel * groups + group) * LANES + lane) * 2u;
    low += scaled(a, load_scales(scale));
    high += scaled(b, load_scales(scale + 1u));
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
