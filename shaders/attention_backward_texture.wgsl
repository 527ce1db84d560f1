// Gradients of causal attention of grouped heads in registers: of the queries, followed by Σ gradient output of each row, four times, or
// of keys and values (FOR_KEYS).
//
// The query heads that share a key head are one matrix: its rows go through the queries, and through the heads of each query.
// An invocation owns LINES lines, which are rows or keys, and walks over the others that see them. With w = exp(s - rest), where s are the
// scores, computed again, and rest the logarithm of a row's sum, and with e = gradient vᵀ:
//   gradient of s: w (e - Σ gradient output)    gradients: q: (of s) k    k: (of s)ᵀ q    v: wᵀ gradient
// Neighbours own the same lines of other heads, so that as many see them. Marked loops are unrolled, marked declarations and loads replaced
// to read textures.

// Whether the gradients are those of keys, followed by those of values (else of the queries).
override FOR_KEYS: bool = false;
// Quads of a head.
const QUADS = 8u; //: size
// Lines of an invocation.
const LINES = 8u; //: size
// Invocations of a workgroup.
const LANES = 8u;

//: include attention

struct Params {
  q: View,
  k: View,
  v: View,
  gradient: View,
  output: View,
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
  // Elements before the first of `rest`.
  rest_offset: u32,
}

@group(0) @binding(0) var<storage, read> q: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> k: array<Quad>; //: input
@group(0) @binding(2) var<storage, read> v: array<Quad>; //: input
@group(0) @binding(3) var<storage, read> offset: array<u32>;
@group(0) @binding(4) var<storage, read> gradient: array<Quad>; //: input
// Output of the forward pass, or (FOR_KEYS) Σ gradient output of each row, four times.
@group(0) @binding(5) var<storage, read> output: array<Quad>;
@group(0) @binding(6) var<storage, read> rest: array<Element>;
@group(0) @binding(7) var<storage, read_write> out: array<Quad>;
@group(0) @binding(8) var<uniform> params: Params;

const LOG2_E = 1.4426950408889634;

// Where a line lies in the two tensors that it is a line of: queries and gradient, or keys and values.
struct Line {
  scores: u32,
  slopes: u32,
}

alias Quads = array<Quad, QUADS>;

fn q_at(index: u32) -> Quad {
  return q[index]; //: load
}

fn k_at(index: u32) -> Quad {
  return k[index]; //: load
}

fn v_at(index: u32) -> Quad {
  return v[index]; //: load
}

fn gradient_at(index: u32) -> Quad {
  return gradient[index]; //: load
}

// A quad of the keys, or of the queries.
fn score_quad(of_keys: bool, index: u32) -> Quad {
  if (of_keys) {
    return k_at(index);
  }
  return q_at(index);
}

// A quad of the values, or of the gradient.
fn slope_quad(of_keys: bool, index: u32) -> Quad {
  if (of_keys) {
    return v_at(index);
  }
  return gradient_at(index);
}

fn line_at(of_keys: bool, batch: u32, head: u32, line: u32) -> Line {
  if (of_keys) {
    return Line(first_quad(params.k, batch, head, line), first_quad(params.v, batch, head, line));
  }
  let row_head = head * params.group + line % params.group;
  let query = line / params.group;
  return Line(first_quad(params.q, batch, row_head, query), first_quad(params.gradient, batch, row_head, query));
}

// Where a row lies in the output of the forward pass.
fn output_at(batch: u32, head: u32, row: u32) -> u32 {
  return first_quad(params.output, batch, head * params.group + row % params.group, row / params.group);
}

// Where a row lies among all rows.
fn place_of(batch: u32, head: u32, row: u32) -> u32 {
  return (batch * params.queries + row / params.group) * params.heads * params.group + head * params.group + row % params.group;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let rows = params.queries * params.group;
  let lines = select(rows, params.keys, FOR_KEYS);
  let blocks = (lines + LINES - 1u) / LINES;
  let pairs = params.batches * params.heads;
  let place = (group.y * groups.x + group.x) * LANES + lane;
  if (place >= blocks * pairs) {
    return;
  }
  let head = place % pairs % params.heads;
  let batch = place % pairs / params.heads;
  let line0 = select(blocks - 1u - place / pairs, place / pairs, FOR_KEYS) * LINES; // the longest first
  let first = offset[0];

  // own lines: queries and gradient, or keys and values; their positions; of rows, logarithm and Σ gradient output
  var x: array<Quads, LINES>;
  var y: array<Quads, LINES>;
  var positions: array<u32, LINES>;
  var rests: array<Element, LINES>;
  var inners: array<Element, LINES>;
  for (var at = line0; at < line0 + LINES * min(lines, 1u); at++) {
    for (var line = 0u; line < LINES; line++) { //: unroll
      x[line] = x[min(line + 1u, LINES - 1u)];
      y[line] = y[min(line + 1u, LINES - 1u)];
      positions[line] = positions[min(line + 1u, LINES - 1u)];
      rests[line] = rests[min(line + 1u, LINES - 1u)];
      inners[line] = inners[min(line + 1u, LINES - 1u)];
    }
    let own = min(at, lines - 1u);
    let start = line_at(FOR_KEYS, batch, head, own);
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      x[LINES - 1u][quad] = score_quad(FOR_KEYS, start.scores + quad) * (params.scale * LOG2_E);
      y[LINES - 1u][quad] = slope_quad(FOR_KEYS, start.slopes + quad);
    }
    positions[LINES - 1u] = select(own / params.group, own, FOR_KEYS);
    if (!FOR_KEYS) {
      let first_output = output_at(batch, head, own);
      var inner: Element = 0.0;
      for (var quad = 0u; quad < params.quads; quad++) {
        inner += dot(gradient_at(start.slopes + quad), output[first_output + quad]);
      }
      inners[LINES - 1u] = inner;
      rests[LINES - 1u] = rest[params.rest_offset + place_of(batch, head, own)] * LOG2_E;
    }
  }

  // keys up to the last one that the rows see, or rows from the first one that sees the keys
  let begin = select(0u, (max(line0, first) - first) * params.group, FOR_KEYS);
  let end = select(min(params.keys, min(line0 + LINES - 1u, rows - 1u) / params.group + first + 1u), rows, FOR_KEYS);
  var sums: array<Quads, LINES>;
  var value_sums: array<Quads, LINES>;
  for (var other = begin; other < end; other++) {
    let start = line_at(!FOR_KEYS, batch, head, other);
    var scores = array<Element, LINES>();
    var slopes = array<Element, LINES>();
    var a = Quads();
    var b = Quads();
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      a[quad] = score_quad(!FOR_KEYS, start.scores + quad);
      for (var line = 0u; line < LINES; line++) { //: unroll
        scores[line] += dot(x[line][quad], a[quad]);
      }
    }
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      b[quad] = slope_quad(!FOR_KEYS, start.slopes + quad);
      for (var line = 0u; line < LINES; line++) { //: unroll
        slopes[line] += dot(y[line][quad], b[quad]);
      }
    }
    // read anew, since a load from a buffer divides the loop: within one part, a driver searches all that comes before each sum
    let first_here = offset[u32(other >= end)];
    var rest_here: Element = 0.0;
    var inner_here: Element = 0.0;
    if (FOR_KEYS) {
      rest_here = rest[params.rest_offset + place_of(batch, head, other)] * LOG2_E;
      inner_here = output[output_at(batch, head, other)].x;
    }
    for (var line = 0u; line < LINES; line++) { //: unroll
      let is_seen = select(other, positions[line], FOR_KEYS) <= select(positions[line], other / params.group, FOR_KEYS) + first_here;
      let weight = select(0.0, exp2(scores[line] - select(rests[line], rest_here, FOR_KEYS)), is_seen);
      let factor = weight * (slopes[line] - select(inners[line], inner_here, FOR_KEYS));
      for (var quad = 0u; quad < QUADS; quad++) { //: unroll
        sums[line][quad] += factor * a[quad];
        if (FOR_KEYS) {
          value_sums[line][quad] += weight * b[quad];
        }
      }
    }
  }

  let size = params.batches * params.heads * select(rows, params.keys, FOR_KEYS) * QUADS;
  for (var own = line0; own < min(line0 + LINES, lines); own++) {
    let place = select(place_of(batch, head, own), (batch * params.keys + own) * params.heads + head, FOR_KEYS);
    for (var quad = 0u; quad < QUADS; quad++) { //: unroll
      out[place * QUADS + quad] = sums[0][quad] * params.scale;
      if (FOR_KEYS) {
        out[size + place * QUADS + quad] = value_sums[0][quad];
      }
    }
    if (!FOR_KEYS) {
      out[size + place] = Quad(inners[0]);
    }
    for (var line = 0u; line < LINES; line++) { //: unroll
      sums[line] = sums[min(line + 1u, LINES - 1u)];
      value_sums[line] = value_sums[min(line + 1u, LINES - 1u)];
      inners[line] = inners[min(line + 1u, LINES - 1u)];
    }
  }
}
