// output[v, d] = sum over i with indices[i] = v of updates[i, d]
// One invocation owns one element of the output and looks through all indices in order, so that the sum does not depend on timing.
// Work is tokens x rows x width comparisons: meant for small tables.

struct Params {
  tokens: u32, // length of indices, and rows of updates
  rows: u32,   // rows of the output
  width: u32,  // elements of a row
}

@group(0) @binding(0) var<storage, read> updates: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn contribution(i: u32, row: u32, column: u32) -> f32 {
  if (i < params.tokens && indices[min(i, params.tokens - 1u)] == row) {
    return updates[i * params.width + column];
  }
  return 0.0;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let element = (group.y * groups.x + group.x) * 64u + lane;
  if (element >= params.rows * params.width) {
    return;
  }
  let row = element / params.width;
  let column = element % params.width;
  var total = 0.0;
  // four at a time: some drivers end an invocation's loops after 65535 iterations without a word
  for (var i = 0u; i < params.tokens; i += 4u) {
    total += contribution(i, row, column);
    total += contribution(i + 1u, row, column);
    total += contribution(i + 2u, row, column);
    total += contribution(i + 3u, row, column);
  }
  output[element] = total;
}
