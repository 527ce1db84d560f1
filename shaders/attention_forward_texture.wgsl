// Causal attention of grouped heads in registers: softmax(q kᵀ scale) v, where a query sees the keys up to its own, and the logarithm of
// each row's sum.
//
// The query heads that share a key head are one matrix: its rows go through the queries, and through the heads of each query.
// An invocation owns LINES rows and walks over the keys that they see, KEYS in each turn; sums are counted from the largest score so far,
// and shrink when a larger one comes. Neighbours own the same rows of other heads, so that they see as many keys. Marked loops are unrolled,
// marked declarations and loads replaced to read textures.

// Quads of a head.
const QUADS = 8u; //: size
// Rows of an invocation.
const LINES = 8u; //: size
// Keys of a turn.
const KEYS = 2u; //: size
// Invocations of a workgroup.
const LANES = 8u;

//: include attention

struct Params {
  q: View,
  k: View,
  v: View,
  batches: u32,
  // Key heads.
  heads: u32,
  queries: u32,
  keys: u32,
  // Query heads that share a key head.
  group: u32,
  // Quads of a head.
  quads: u32,
  // Factor of the scores.
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> k: array<Quad>; //: input
@group(0) @binding(2) var<storage, read> v: array<Quad>; //: input
@group(0) @binding(3) var<storage, read> offset: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<Element>;
@group(0) @binding(5) var<uniform> params: Params;

// Lower than any score.
const LOW = -3.4e38;
// The least that powers are counted from: above LOW, so that hidden keys count for nothing where all others score -infinity.
const LEAST = -3.3e38;
const LOG2_E = 1.4426950408889634;

fn q_at(index: u32) -> Quad {
  return q[index]; //: load
}

fn k_at(index: u32) -> Quad {
  return k[index]; //: load
}

fn v_at(index: u32) -> Quad {
  return v[index]; //: load
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let rows = params.queries * params.group;
  let blocks = (rows + LINES - 1u) / LINES;
  let pairs = params.batches * params.heads;
  let place = (group.y * groups.x + group.x) * LANES + lane;
  if (place >= blocks * pairs) {
    return;
  }
  let head = place % pairs % params.heads;
  let batch = place % pairs / params.heads;
  let row0 = (blocks - 1u - place / pairs) * LINES; // the longest first
  let first = offset[0];

  var x: array<array<Quad, QUADS>, LINES>;
  var queries: array<u32, LINES>;
  for (var at = row0; at < row0 + LINES * min(rows, 1u); at++) {
    let row = min(at, rows - 1u);
    let start = first_quad(params.q, batch, head * params.group + row % params.group, row / params.group);
    for (var line = 0u; line < LINES; line++) { //: unroll
      queries[line] = queries[min(line + 1u, LINES - 1u)];
      x[line] = x[min(line + 1u, LINES - 1u)];
    }
    queries[LINES - 1u] = row / params.group;
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      x[LINES - 1u][quad] = q_at(start + quad) * (params.scale * LOG2_E);
    }
  }

  let end = min(params.keys, min(row0 + LINES - 1u, rows - 1u) / params.group + first + 1u);
  let first_k = first_quad(params.k, batch, head, 0u);
  let first_v = first_quad(params.v, batch, head, 0u);
  var sums: array<array<Quad, QUADS>, LINES>;
  var totals: array<Element, LINES>;
  var tops: array<Element, LINES>;
  for (var line = 0u; line < LINES; line++) { //: unroll
    tops[line] = LEAST;
  }
  for (var key0 = 0u; key0 < end; key0 += KEYS) {
    var powers = array<array<Element, LINES>, KEYS>();
    var shrink = array<Element, LINES>();
    for (var key = 0u; key < KEYS; key++) { //: unroll
      let start = first_k + min(key0 + key, end - 1u) * params.k.position;
      for (var quad = 0u; quad < QUADS; quad++) { //: unroll
        let y = k_at(start + quad);
        for (var line = 0u; line < LINES; line++) { //: unroll
          powers[key][line] += dot(x[line][quad], y);
        }
      }
    }
    // read anew, since a load from a buffer divides the loop: within one part, a driver searches all that comes before each sum
    let first_here = offset[u32(key0 >= params.keys)];
    for (var line = 0u; line < LINES; line++) { //: unroll
      let last = min(queries[line] + first_here, end - 1u);
      var top = tops[line];
      for (var key = 0u; key < KEYS; key++) { //: unroll
        powers[key][line] = select(LOW, powers[key][line], key0 + key <= last);
        top = max(top, powers[key][line]);
      }
      shrink[line] = exp2(tops[line] - top);
      tops[line] = top;
      totals[line] *= shrink[line];
      for (var key = 0u; key < KEYS; key++) { //: unroll
        powers[key][line] = exp2(powers[key][line] - top);
        totals[line] += powers[key][line];
      }
    }
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      var y = array<Quad, KEYS>();
      for (var key = 0u; key < KEYS; key++) { //: unroll
        y[key] = v_at(first_v + min(key0 + key, end - 1u) * params.v.position + quad);
      }
      for (var line = 0u; line < LINES; line++) { //: unroll
        var sum = sums[line][quad] * shrink[line];
        for (var key = 0u; key < KEYS; key++) { //: unroll
          sum += powers[key][line] * y[key];
        }
        sums[line][quad] = sum;
      }
    }
  }

  let size = params.batches * rows * params.heads * QUADS * 4u;
  for (var row = row0; row < min(row0 + LINES, rows); row++) {
    let place = (batch * params.queries + row / params.group) * params.heads * params.group + head * params.group + row % params.group;
    let share = 1.0 / totals[0];
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      let result = sums[0][quad] * share;
      for (var e = 0u; e < 4u; e++) { //: unroll
        out[(place * QUADS + quad) * 4u + e] = result[e];
      }
    }
    out[size + place] = (tops[0] + log2(totals[0])) / LOG2_E;
    for (var line = 0u; line < LINES; line++) { //: unroll
      sums[line] = sums[min(line + 1u, LINES - 1u)];
      totals[line] = totals[min(line + 1u, LINES - 1u)];
      tops[line] = tops[min(line + 1u, LINES - 1u)];
    }
  }
}
