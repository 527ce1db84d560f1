// Each output combines LENGTH elements, which MEMBERS invocations of a workgroup share: each combines its own, in steps of MEMBERS, then
// one of them what the others have. The compiler replaces the marked lines: bindings, the element at position r of output o, the ways to
// combine, and what follows. As stored, the shader sums positions.

const COUNT: u32 = 1u; const LENGTH: u32 = 1u; const LANES: u32 = 64u; const MEMBERS: u32 = 64u; const MEMBER_STEP: u32 = 1u; const OUTPUT_STEP: u32 = 64u; //: constants
@group(0) @binding(0) var<storage, read_write> out0: array<f32>; //: bindings
var<workgroup> shares: array<f32, LANES>; //: shares

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let outputs = LANES / MEMBERS;
  let place = (group.y * groups.x + group.x) * outputs + lane / OUTPUT_STEP % outputs;
  let member = lane / MEMBER_STEP % MEMBERS;
  let o = min(place, COUNT - 1u);
  var accumulated = 0.0f; //: identity
  for (var r = member; r < LENGTH; r += MEMBERS) {
    accumulated = accumulated + f32(r); //: combine
  }
  shares[lane] = accumulated;
  workgroupBarrier();
  if (member > 0u || place >= COUNT) {
    return;
  }
  for (var other = lane + MEMBER_STEP; other < lane + MEMBERS * MEMBER_STEP; other += MEMBER_STEP) {
    accumulated = accumulated + shares[other]; //: join
  }
  out0[o] = accumulated; //: store
}
