// Each output combines LENGTH elements; PARTS invocations share one output's elements and each writes a partial result, which a second
// dispatch combines. The compiler replaces the marked lines: bindings, the element at position r of output o, the way to combine, and
// what follows the loop. As stored, the shader sums positions.

const COUNT: u32 = 1u; const LENGTH: u32 = 1u; const PARTS: u32 = 1u; const CHUNK: u32 = 1u; //: constants
@group(0) @binding(0) var<storage, read_write> out0: array<f32>; //: bindings

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= COUNT * PARTS) {
    return;
  }
  let o = i % COUNT;
  let first = (i / COUNT) * CHUNK;
  let last = min(first + CHUNK, LENGTH);
  var accumulated = 0.0f; //: identity
  for (var r = first; r < last; r++) {
    accumulated = accumulated + f32(r); //: combine
  }
  out0[i] = accumulated; //: store
}
