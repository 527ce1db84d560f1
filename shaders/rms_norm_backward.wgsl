// Gradients of x / r * weight with r = sqrt(mean(x^2) + EPSILON) in each row: of x, g weight / r - x mean(g weight x) / r^3, and parts of
// that of the weight: sums of g x / r over ROWS rows.
//
// All of the first come first. MEMBERS invocations share ROWS rows: they walk over each of them once, and once more over all at a time.
// The marked lines are replaced to read textures.

// Neighbouring invocations that share rows, a power of two.
override MEMBERS: u32 = 1;
// Invocations of a workgroup, a multiple of MEMBERS.
override LANES: u32 = 64;
// Rows that share a sum, at most MOST_ROWS.
override ROWS: u32 = 1;
override EPSILON: f32 = 1e-5;

const MOST_ROWS: u32 = 16;

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

var<workgroup> parts: array<vec2<Element>, LANES>;

fn x_at(index: u32) -> Quad {
  return x[index]; //: load
}

fn weight_at(index: u32) -> Quad {
  return weight[index]; //: load
}

fn gradient_at(index: u32) -> Quad {
  return gradient[index]; //: load
}

// The sums over the members of a row.
fn total(part: vec2<Element>, lane: u32, member: u32) -> vec2<Element> {
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

// Of a row: 1 / r, and what x is multiplied with.
struct Factors {
  share: Element,
  pull: Element,
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(num_workgroups) places: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let member = lane % MEMBERS;
  let block = (place.y * places.x + place.x) * (LANES / MEMBERS) + lane / MEMBERS;
  let begin = block * ROWS;
  let length = f32(4u * params.quads);

  var factors = array<Factors, MOST_ROWS>();
  for (var row = 0u; row < ROWS; row++) {
    let first = min(begin + row, params.rows - 1u) * params.quads;
    var squares = Quad();
    var products = Quad();
    for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
      let v = x_at(first + quad);
      let g = gradient_at(first + quad);
      let w = weight_at(quad);
      squares += v * v;
      products += g * w * v;
    }
    let means = total(vec2(dot(squares, Quad(1.0)), dot(products, Quad(1.0))), lane, member) / length;
    let share = 1.0 / sqrt(means.x + EPSILON);
    factors[row] = Factors(share, means.y * share * share * share);
  }

  let rows = min(ROWS, max(params.rows, begin) - begin);
  for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
    let w = weight_at(quad);
    var sum = Quad();
    for (var row = 0u; row < rows; row++) {
      let at = (begin + row) * params.quads + quad;
      let v = x_at(at);
      let g = gradient_at(at) * factors[row].share;
      let result = g * w - v * factors[row].pull;
      sum += g * v;
      out[at] = result;
    }
    if (rows > 0u) {
      out[(params.rows + block) * params.quads + quad] = sum;
    }
  }
}
