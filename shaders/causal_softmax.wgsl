// Softmax of each row over the keys that its query may see: those up to row % queries + offset; the others get zero.
//
// MEMBERS invocations share a row, walk over the visible part once for the sum, and write all of it.
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
  // Rows follow one another by query, and then begin anew.
  queries: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> offset: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Quad>;
@group(0) @binding(3) var<uniform> params: Params;

//: include members

//: include powers

fn scores_at(index: u32) -> Quad {
  return scores[index]; //: load
}

// Scores of a quad, those at or beyond `end` so low that their power is zero.
fn visible_at(first: u32, quad: u32, end: u32) -> Quad {
  return select(Quad(-3.4e38), scores_at(first + quad), vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) < vec4(end));
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

  let end = min(row % params.queries + offset[0] + 1u, 4u * params.quads);
  let quads = (end + 3u) / 4u;

  var top_here: Element = -3.3e38; // above hidden scores, so that they count for nothing where all others are -infinity
  var powers = Powers(top_here, Quad());
  for (var quad = member; quad < quads; quad += MEMBERS) { //: quads
    let v = visible_at(first, quad, end);
    top_here = max(top_here, largest_of(v));
    powers = counted_from(top_here, powers);
    powers.sum += exp(v - top_here);
  }
  let top = largest(top_here, lane, member);
  let share = 1.0 / total(dot(counted_from(top, powers).sum, Quad(1.0)), lane, member);
  var quad = member;
  for (; quad < quads; quad += MEMBERS) { //: quads
    let v = visible_at(first, quad, end);
    let result = select(Quad(), exp(v - top) * share, vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) < vec4(end));
    if (exists) {
      out[first + quad] = result;
    }
  }
  for (; quad < params.quads; quad += MEMBERS) { //: quads
    if (exists) {
      out[first + quad] = Quad();
    }
  }
}
