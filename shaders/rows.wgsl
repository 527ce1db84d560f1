// MEMBERS invocations of a workgroup go over a row together: they reduce it, perhaps several times, and compute its elements from what
// they have reduced. The compiler replaces the marked lines: bindings, the ways to combine what the members of a row have, and the passes
// over a row. As stored, the shader writes each row's number.

const ROWS: u32 = 1u; const WIDTH: u32 = 1u; const MEMBERS: u32 = 1u; const LANES: u32 = 64u; //: constants
@group(0) @binding(0) var<storage, read_write> out0: array<f32>; //: bindings
//: joins

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let member = lane % MEMBERS;
  let place = (group.y * groups.x + group.x) * (LANES / MEMBERS) + lane / MEMBERS;
  let exists = place < ROWS;
  let row = min(place, ROWS - 1u);
  if (exists && member == 0u) { out0[row] = f32(row); } //: passes
}
