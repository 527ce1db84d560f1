// Rows of a half-precision table, chosen by index: Y[t, k] = W[index[t], k]; rows outside of the table are zeros.
//
// W lies as in half_matmul.wgsl. An invocation takes eight columns of a row.

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows to fetch.
  tokens: u32,
  // Rows of W.
  rows: u32,
  // Columns of W, in eights.
  eights: u32,
}

@group(0) @binding(0) var<storage, read> table: array<Words>; //: input
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Quad>;
@group(0) @binding(3) var<uniform> params: Params;

fn load_table(at: u32) -> Words {
  return table[at]; //: load
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let item = (workgroup.y * workgroups.x + workgroup.x) * 64u + member;
  let token = item / params.eights;
  if (token >= params.tokens) {
    return;
  }
  let row = indices[token];
  var words: Words;
  if (row < params.rows) {
    words = load_table((row / 64u * params.eights + item % params.eights) * 64u + row % 64u);
  }
  out[item * 2u] = Quad(unpack2x16float(words.x), unpack2x16float(words.y));
  out[item * 2u + 1u] = Quad(unpack2x16float(words.z), unpack2x16float(words.w));
}
