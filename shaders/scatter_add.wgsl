// output[v, d] = sum over i with indices[i] = v of updates[i, d]
// One invocation owns SPAN neighbouring elements of one row of the output and looks through all indices in order, so that the sum does
// not depend on timing. Work is tokens x rows x width / SPAN comparisons, four at a time: meant for small tables.

struct Params {
  tokens: u32, // length of indices, and rows of updates
  rows: u32,   // rows of the output
  width: u32,  // elements of a row
}

@group(0) @binding(0) var<storage, read> updates: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<vec4<u32>>; // by fours, the last of which need not all be there
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const SPAN: u32 = 16u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let spans = (params.width + SPAN - 1u) / SPAN;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * spans) {
    return;
  }
  let row = i / spans;
  let first = (i % spans) * SPAN;
  let last = params.width - 1u;
  var total: array<f32, SPAN>;
  for (var four = 0u; 4u * four < params.tokens; four++) {
    let tokens = 4u * four + vec4<u32>(0u, 1u, 2u, 3u);
    let matches = (indices[four] == vec4<u32>(row)) & (tokens < vec4<u32>(params.tokens));
    // a loop, as software drivers jump over loops alone
    for (var left = dot(vec4<u32>(matches), vec4<u32>(1u, 2u, 4u, 8u)); left != 0u; left &= left - 1u) {
      let start = (4u * four + firstTrailingBit(left)) * params.width;
      // unrolled: columns beyond the row are read from its last element, and never stored
      total[0] += updates[start + min(first, last)];
      total[1] += updates[start + min(first + 1u, last)];
      total[2] += updates[start + min(first + 2u, last)];
      total[3] += updates[start + min(first + 3u, last)];
      total[4] += updates[start + min(first + 4u, last)];
      total[5] += updates[start + min(first + 5u, last)];
      total[6] += updates[start + min(first + 6u, last)];
      total[7] += updates[start + min(first + 7u, last)];
      total[8] += updates[start + min(first + 8u, last)];
      total[9] += updates[start + min(first + 9u, last)];
      total[10] += updates[start + min(first + 10u, last)];
      total[11] += updates[start + min(first + 11u, last)];
      total[12] += updates[start + min(first + 12u, last)];
      total[13] += updates[start + min(first + 13u, last)];
      total[14] += updates[start + min(first + 14u, last)];
      total[15] += updates[start + min(first + 15u, last)];
    }
  }
  for (var d = 0u; d < min(SPAN, params.width - first); d++) {
    output[row * params.width + first + d] = total[d];
  }
}
