// One invocation computes one element (or four, or several times four) of each output. The compiler replaces the marked lines by the
// bindings and the body of a fused expression; as stored, the shader writes each element's position.

const COUNT: u32 = 1u; //: constants
@group(0) @binding(0) var<storage, read_write> out0: array<f32>; //: bindings

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let place = (group.y * groups.x + group.x) * 64u + lane;
  if (place >= COUNT) {
    return;
  }
  out0[place] = f32(place); //: body
}
