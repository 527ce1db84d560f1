// Product with a half-precision table: Y[t, n] = sum over k of X[t, k] * W[n, k], as the output head needs for one token.
//
// W is row-major, two halves to a word. An invocation computes ROWS rows of W for one row of X; SLICES neighbours share the columns,
// eight at a time, and add their sums.

// Rows of W that one invocation takes, 1 to 4.
override ROWS: u32 = 4;
// Neighbouring invocations that share the columns.
override SLICES: u32 = 1;
// Invocations of a workgroup.
override LANES: u32 = 8;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;
alias Block = mat4x4<Element>;

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

var<workgroup> partial: array<Quad, LANES>;

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

fn total(sums: Quad) -> Element {
  return dot(sums, Quad(1.0));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let slice = member % SLICES;
  let item = ((workgroup.y * workgroups.x + workgroup.x) * LANES + member) / SLICES;
  let blocks = (params.rows + ROWS - 1u) / ROWS;
  let token = min(item / blocks, params.tokens - 1u);
  let row = item % blocks * ROWS;
  let last = params.rows - 1u;

  var sums = Block();
  for (var eight = slice; eight < params.eights; eight += SLICES) {
    let at = (token * params.eights + eight) * 2u;
    let first = load_x(at);
    let second = load_x(at + 1u);
    sums[0] += products(load_table(row * params.eights + eight), first, second);
    if (ROWS > 1u) {
      sums[1] += products(load_table(min(row + 1u, last) * params.eights + eight), first, second);
      sums[2] += products(load_table(min(row + 2u, last) * params.eights + eight), first, second);
      sums[3] += products(load_table(min(row + 3u, last) * params.eights + eight), first, second);
    }
  }
  var result = Quad(total(sums[0]), total(sums[1]), total(sums[2]), total(sums[3]));
  if (SLICES > 1u) {
    partial[member] = result;
    workgroupBarrier();
    for (var other = 1u; other < SLICES; other++) {
      result += partial[member - slice + (slice + other) % SLICES];
    }
  }
  if (slice > 0u || item >= blocks * params.tokens) {
    return;
  }
  for (var i = 0u; i < ROWS; i++) {
    if (row + i < params.rows) {
      out[token * params.rows + row + i] = result[i];
    }
  }
}
