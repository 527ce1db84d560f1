// Ternary Hestia weights: (1 - pressure) w + pressure s E(w / s), with s the scale of a group (its mean magnitude) and E the expected code.
//
// E(x) is the mean of -1, 0 and 1 under softmax(-(x - code)^2 * sharpness), or, where HARD, the nearest code. A group is
// `quads` quads side by side. MEMBERS invocations share it: each walks over its quads once for the scale and once more, while a cache still
// holds them, for the result. The marked lines are replaced to read textures.

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
// Whether a weight in the middle of two codes takes the lower one, instead of zero.
override LOWER: bool = false;

alias Element = f32;
alias Quad = vec4<Element>;

struct Params {
  groups: u32,
  quads: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> sharpness: array<Element>;
@group(0) @binding(2) var<storage, read> pressure: array<Element>;
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<uniform> params: Params;

//: include members

//: include scale

fn weight_at(index: u32) -> Quad {
  return weight[index]; //: load
}

// The nearest code. A scale that is not finite has no codes: it times zero is NaN.
fn hard_code(w: Quad, scale: Element) -> Quad {
  if (LOWER) {
    let x = w / scale;
    return select(Quad(), Quad(1.0), x > Quad(0.5)) - select(Quad(), Quad(1.0), x <= Quad(-0.5));
  }
  return select(Quad(), sign(w), abs(w) > Quad(0.5 * scale));
}

// Of x = w / scale: with u = 2 |x| - 1, the codes 0, sign(x) and -sign(x) weigh t : near^2 : far^2, where t = exp(-|u| k) and none exceeds 1; `last`
// is exp(-k).
fn code_of(w: Quad, scale: Element, k: Element, last: Element) -> Quad {
  if (HARD) {
    return hard_code(w, scale);
  }
  let x = w / scale;
  let u = 2.0 * abs(x) - 1.0;
  let t = exp(-k * abs(u));
  let near = select(t, Quad(1.0), u > Quad());
  let far = last * select(Quad(1.0), t, u > Quad());
  let code = (near - far) * (near + far) / max(t + near * near + far * far, Quad(1e-37));
  return select(-code, code, x > Quad());
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
    let scale = scale_of(total(dot(magnitudes, Quad(1.0)), lane, member) / f32(4u * params.quads));

    for (var quad = member; quad < params.quads; quad += MEMBERS) { //: quads
      let w = weight_at(first + quad);
      let result = (1.0 - share) * w + share * (scale * code_of(w, scale, k, last));
      if (exists) {
        out[first + quad] = result;
      }
    }
  }
}
