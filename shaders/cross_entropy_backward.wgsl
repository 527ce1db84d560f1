// Gradient of the logits in log(sum of exp(logits)) - logits[label], times the gradient of each row's loss: softmax minus the label's one.
//
// MEMBERS invocations share a row, and walk over it twice.
// The marked lines are replaced to read textures.

// Neighbouring invocations that share a row, a power of two.
override MEMBERS: u32 = 1;
// Invocations of a workgroup, a multiple of MEMBERS.
override LANES: u32 = 64;

alias Element = f32;
alias Quad = vec4<Element>;

struct Params {
  rows: u32,
  quads: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> gradient: array<Element>;
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<uniform> params: Params;

//: include members

//: include powers

fn logits_at(index: u32) -> Quad {
  return logits[index]; //: load
}

// Sum of powers of e, counted from the exponent `top`, the largest so far.
struct Powers {
  top: Element,
  sum: Quad,
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(num_workgroups) places: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let member = lane % MEMBERS;
  let place_of_row = (place.y * places.x + place.x) * (LANES / MEMBERS) + lane / MEMBERS;
  let exists = place_of_row < params.rows;
  let row = min(place_of_row, params.rows - 1u);
  let first = row * params.quads;

  var top_here: Element = -3.4e38;
  var powers = Powers(top_here, Quad());
  for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
    let v = logits_at(first + quad);
    // an infinite one counts as infinite, not as NaN
    top_here = min(max(top_here, largest_of(v)), 3.4e38);
    powers = counted_from(top_here, powers);
    powers.sum += exp(v - top_here);
  }
  let top = largest(top_here, lane, member);
  let sum = total(dot(counted_from(top, powers).sum, Quad(1.0)), lane, member);
  let label = labels[row];
  let g = gradient[row];
  let share = g / sum;
  for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
    let v = logits_at(first + quad);
    let classes = vec4(4u * quad) + vec4(0u, 1u, 2u, 3u);
    let result = exp(v - top) * share - select(Quad(), Quad(g), classes == vec4(label));
    if (exists) {
      out[first + quad] = result;
    }
  }
}
