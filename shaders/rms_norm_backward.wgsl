// Gradient of x in x / r * weight with r = sqrt(mean(x^2) + EPSILON): g weight / r - x mean(g weight x) / r^3 in each row.
//
// MEMBERS invocations share a row, and walk over it twice.
// The marked lines are replaced to read textures.

// Neighbouring invocations that share a row, a power of two.
override MEMBERS: u32 = 1;
// Invocations of a workgroup, a multiple of MEMBERS.
override LANES: u32 = 64;
override EPSILON: f32 = 1e-5;

alias Element = f32;
alias Quad = vec4<Element>;

struct Params {
  rows: u32,
  quads: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> weight: array<Quad>; //: input
@group(0) @binding(2) var<storage, read> gradient: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> parts: array<Element, LANES>;

fn x_at(index: u32) -> Quad {
  return x[index]; //: load
}

fn weight_at(index: u32) -> Quad {
  return weight[index]; //: load
}

fn gradient_at(index: u32) -> Quad {
  return gradient[index]; //: load
}

// The sum over the members of a row.
fn total(part: Element, lane: u32, member: u32) -> Element {
  if (MEMBERS == 1u) {
    return part;
  }
  parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      parts[lane] = parts[lane] + parts[lane + step];
    }
  }
  workgroupBarrier();
  let result = parts[lane - member];
  workgroupBarrier();
  return result;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(num_workgroups) places: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let member = lane % MEMBERS;
  let place_of_row = (place.y * places.x + place.x) * (LANES / MEMBERS) + lane / MEMBERS;
  let exists = place_of_row < params.rows;
  let row = min(place_of_row, params.rows - 1u);
  let first = row * params.quads;

  var squares = Quad();
  var products = Quad();
  for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
    let v = x_at(first + quad);
    squares += v * v;
    products += gradient_at(first + quad) * weight_at(quad) * v;
  }
  let length = f32(4u * params.quads);
  let root = sqrt(total(dot(squares, Quad(1.0)), lane, member) / length + EPSILON);
  let pull = total(dot(products, Quad(1.0)), lane, member) / length / (root * root * root);
  for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
    let result = gradient_at(first + quad) * weight_at(quad) / root - x_at(first + quad) * pull;
    if (exists) {
      out[first + quad] = result;
    }
  }
}
