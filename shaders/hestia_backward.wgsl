// Gradient of ternary Hestia weights, see hestia_forward.wgsl: with E the expected code and g the gradient of the result, d w_i =
// g_i (1 - pressure + pressure E'(w_i / s)) + pressure sign(w_i) / n * sum over the group's n weights of g (E(w / s) - w / s E'(w / s)).
//
// The last term is the way through the scale s = mean |w|, there where THROUGH_SCALE, and zero where the least scale acts. HARD: E is the nearest code, and E' counts
// as 1 in the first term and 0 in the last. Groups are shared as in the forward pass. The marked lines are replaced to read textures.

// Neighbouring invocations that share a group, a power of two.
override MEMBERS: u32 = 1;
// Invocations of a workgroup, a multiple of MEMBERS.
override LANES: u32 = 64;
// Groups that invocations work on one after another.
override ROWS: u32 = 1;
// Whether codes are rounded.
override HARD: bool = false;
// Whether scales are rounded to half precision.
override HALF: bool = false;
// The least scale, or, where OFFSET, what is added to each.
override EPSILON: f32 = 1e-5;
override OFFSET: bool = false;
// Whether gradients flow through the scale; a tie of two codes then has the one that LOWER says.
override THROUGH_SCALE: bool = true;
override LOWER: bool = false;

alias Element = f32;
alias Quad = vec4<Element>;

struct Params {
  groups: u32,
  quads: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> gradient: array<Quad>; //: input
@group(0) @binding(2) var<storage, read> sharpness: array<Element>;
@group(0) @binding(3) var<storage, read> pressure: array<Element>;
@group(0) @binding(4) var<storage, read_write> out: array<Quad>;
@group(0) @binding(5) var<uniform> params: Params;

//: include members

//: include scale

fn weight_at(index: u32) -> Quad {
  return weight[index]; //: load
}

fn gradient_at(index: u32) -> Quad {
  return gradient[index]; //: load
}

// The nearest code. A scale that is not finite has no codes: it times zero is NaN.
fn hard_code(w: Quad, scale: Element) -> Quad {
  if (LOWER) {
    let x = w / scale;
    return select(Quad(), Quad(1.0), x > Quad(0.5)) - select(Quad(), Quad(1.0), x <= Quad(-0.5));
  }
  return select(Quad(), sign(w), abs(w) > Quad(0.5 * scale));
}

// Of the result by the weight and by the scale.
struct Slopes {
  weight: Quad,
  scale: Quad,
}

// Of x = w / scale: with u = 2 |x| - 1, the codes 0, sign(x) and -sign(x) weigh t : near^2 : far^2, where t = exp(-|u| k) and none exceeds 1; `last`
// is exp(-k). The variance of the code is a sum of products of positive numbers, so that nothing cancels.
fn slopes_of(w: Quad, scale: Element, k: Element, last: Element) -> Slopes {
  if (HARD) {
    return Slopes(Quad(1.0), hard_code(w, scale));
  }
  let x = w / scale;
  let u = 2.0 * abs(x) - 1.0;
  let t = exp(-k * abs(u));
  let near = select(t, Quad(1.0), u > Quad());
  let far = last * select(Quad(1.0), t, u > Quad());
  let share = 1.0 / max(t + near * near + far * far, Quad(1e-37));
  let p = near * near * share;
  let q = far * far * share;
  let code = (near - far) * (near + far) * share;
  let slope = 2.0 * k * (t * share * (p + q) + 4.0 * p * q);
  return Slopes(slope, select(-code, code, x > Quad()) - x * slope);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(num_workgroups) places: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let member = lane % MEMBERS;
  let begin = ((place.y * places.x + place.x) * (LANES / MEMBERS) + lane / MEMBERS) * ROWS;
  let k = sharpness[0];
  let last = exp(-k);
  let share = pressure[0];
  for (var row = 0u; row < ROWS; row++) {
    let group = begin + row;
    let exists = group < params.groups;
    let first = min(group, params.groups - 1u) * params.quads;

    var magnitudes = Quad();
    for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
      let w = weight_at(first + quad);
      magnitudes += abs(w);
    }
    let size = f32(4u * params.quads);
    let mean = total(dot(magnitudes, Quad(1.0)), lane, member) / size;
    let scale = scale_of(mean);

    var of_scale = 0.0;
    if (THROUGH_SCALE) {
      var through_scale = Quad();
      for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
        let w = weight_at(first + quad);
        let g = gradient_at(first + quad);
        through_scale += g * slopes_of(w, scale, k, last).scale;
      }
      of_scale = select(0.0, share / size, OFFSET || mean >= EPSILON) * total(dot(through_scale, Quad(1.0)), lane, member);
    } else if (!HARD) {
      let bits = bitcast<u32>(mean);
      of_scale = select(0.0, bitcast<Element>(bits | 0x7fc00000u), (bits & 0x7f800000u) == 0x7f800000u); // no weight of the group has a slope
    }

    for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
      let w = weight_at(first + quad);
      let g = gradient_at(first + quad);
      let result = g * (1.0 - share + share * slopes_of(w, scale, k, last).weight) + of_scale * sign(w);
      if (exists) {
        out[first + quad] = result;
      }
    }
  }
}
