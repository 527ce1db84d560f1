// Rows of a cache, written over what is there: out[b, h, position + t, d] = fresh[b, h, t, d]; rows beyond the end of the cache are lost.
//
// The cache is the memory of the result itself, so that nothing else of it is touched. An invocation writes SPAN elements of a row, as far
// apart as the row has invocations: of a table in pieces, most rows lie in another piece, and are passed over together.

// Elements that an invocation writes.
override SPAN: u32 = 1;

struct Params {
  // Lengths of fresh.
  batch: u32,
  heads: u32,
  tokens: u32,
  width: u32,
  // Elements from one to the next along each axis of fresh, and before its first.
  strides: vec4<u32>,
  offset: u32,
  // Rows of the cache.
  length: u32,
}

@group(0) @binding(0) var<storage, read> fresh: array<f32>;
@group(0) @binding(1) var<storage, read> position: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let item = (workgroup.y * workgroups.x + workgroup.x) * 64u + member;
  let members = (params.width + SPAN - 1u) / SPAN;
  let token = item / members % params.tokens;
  let head = item / members / params.tokens % params.heads;
  let batch = item / members / params.tokens / params.heads;
  let row = position[0] + token;
  let width = select(0u, params.width, batch < params.batch && row < params.length);
  let to = ((batch * params.heads + head) * params.length + row) * params.width;
  let steps = vec3(batch, head, token) * params.strides.xyz;
  let start = params.offset + steps.x + steps.y + steps.z;
  for (var column = item % members; column < width; column += members) {
    out[to + column] = fresh[start + column * params.strides.w];
  }
}
