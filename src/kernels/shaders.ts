// Generated from shaders/*.wgsl by `deno task shaders`: edit those.

/** WGSL text of every stored shader, by file name. */
export const shaders = {
  attention_backward: `// Gradients of causal attention of grouped heads: of the queries, followed by Σ gradient output of each row, four
// times, or of keys and values (FOR_KEYS).
//
// The query heads that share a key head are one matrix: its rows go through the queries, and through the heads of each query.
// A workgroup owns 32 lines, which are rows or keys, and walks over tiles of 32 of the others that see them. With w = exp(s - rest),
// where s are the scores, computed again, and rest the logarithm of a row's sum, and with e = gradient vᵀ:
//   gradient of s: w (e - Σ gradient output)    gradients: q: (of s) k    k: (of s)ᵀ q    v: wᵀ gradient
// An invocation owns lines \`down + 8i\` and, among the others of a tile, \`across + 8j\`.

// Whether the gradients are those of keys, followed by those of values (else of the queries).
override FOR_KEYS: bool = false;
// Steps of eight quads through a head, at most four.
override STEPS: u32 = 1;

alias Element = f32;
alias Quad = vec4<Element>;

// Strides of a tensor in quads.
struct View {
  batch: u32,
  position: u32,
  head: u32,
  offset: u32,
}

fn first_quad(view: View, batch: u32, head: u32, position: u32) -> u32 {
  return view.offset + batch * view.batch + head * view.head + position * view.position;
}

alias Block = mat4x4<Element>;
// By step through a head, then line.
alias Sums = array<array<Quad, 4>, 4>;

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
  // Elements before the first of \`rest\`.
  rest_offset: u32,
}

@group(0) @binding(0) var<storage, read> q: array<Quad>;
@group(0) @binding(1) var<storage, read> k: array<Quad>;
@group(0) @binding(2) var<storage, read> v: array<Quad>;
@group(0) @binding(3) var<storage, read> offset: array<u32>;
@group(0) @binding(4) var<storage, read> gradient: array<Quad>;
// Output of the forward pass, or (FOR_KEYS) Σ gradient output of each row, four times.
@group(0) @binding(5) var<storage, read> output: array<Quad>;
@group(0) @binding(6) var<storage, read> rest: array<Element>;
@group(0) @binding(7) var<storage, read_write> out: array<Quad>;
@group(0) @binding(8) var<uniform> params: Params;

const TILE = 32u;
const LANES = 64u;
// Quads from one line of a tile to the next: odd, so that neighbours read from different banks.
const PITCH = 9u;

// Which tensors a step reads: those that scores are made of, or those that their gradients are.
const SCORES = 0u;
const SLOPES = 1u;

var<workgroup> left: array<Quad, 288>;
var<workgroup> right: array<Quad, 288>;
var<workgroup> factors: array<Quad, 288>;
// Σ gradient output of each row of a tile, in two parts.
var<workgroup> inner: array<Element, LANES>;

// A quad of the queries, or of the gradient.
fn row_at(kind: u32, batch: u32, head: u32, row: u32, quad: u32) -> Quad {
  if (row >= params.queries * params.group || quad >= params.quads) {
    return Quad();
  }
  if (kind == SCORES) {
    return q[first_quad(params.q, batch, head * params.group + row % params.group, row / params.group) + quad];
  }
  return gradient[first_quad(params.gradient, batch, head * params.group + row % params.group, row / params.group) + quad];
}

// A quad of the keys, or of the values.
fn key_at(kind: u32, batch: u32, head: u32, key: u32, quad: u32) -> Quad {
  if (key >= params.keys || quad >= params.quads) {
    return Quad();
  }
  if (kind == SCORES) {
    return k[first_quad(params.k, batch, head, key) + quad];
  }
  return v[first_quad(params.v, batch, head, key) + quad];
}

fn own_at(kind: u32, batch: u32, head: u32, line: u32, quad: u32) -> Quad {
  if (FOR_KEYS) {
    return key_at(kind, batch, head, line, quad);
  }
  return row_at(kind, batch, head, line, quad);
}

fn other_at(kind: u32, batch: u32, head: u32, line: u32, quad: u32) -> Quad {
  if (FOR_KEYS) {
    return row_at(kind, batch, head, line, quad);
  }
  return key_at(kind, batch, head, line, quad);
}

// Four lines of the right tile, eight lines apart.
fn right_block(line: u32, quad: u32) -> Block {
  let at = line * PITCH + quad;
  return Block(right[at], right[at + 8u * PITCH], right[at + 16u * PITCH], right[at + 24u * PITCH]);
}

// Products of own lines with others, for each own line those with four others.
fn products(kind: u32, batch: u32, head: u32, own0: u32, other0: u32, lane: u32) -> array<Quad, 4> {
  var result: array<Quad, 4>;
  for (var step = 0u; step < STEPS; step++) {
    workgroupBarrier();
    for (var i = lane; i < 8u * TILE; i += LANES) {
      let at = i / 8u * PITCH + i % 8u;
      left[at] = own_at(kind, batch, head, own0 + i / 8u, 8u * step + i % 8u);
      right[at] = other_at(kind, batch, head, other0 + i / 8u, 8u * step + i % 8u);
    }
    workgroupBarrier();
    for (var quad = 0u; quad < min(8u, params.quads - 8u * step); quad++) {
      let y = right_block(lane % 8u, quad);
      for (var i = 0u; i < 4u; i++) {
        result[i] += left[(lane / 8u + 8u * i) * PITCH + quad] * y;
      }
    }
  }
  return result;
}

// Adds the others of a tile, weighted by \`factors\`.
fn accumulate(sums: ptr<function, Sums>, kind: u32, batch: u32, head: u32, other0: u32, end: u32, lane: u32) {
  for (var step = 0u; step < STEPS; step++) {
    workgroupBarrier();
    for (var i = lane; i < 8u * TILE; i += LANES) {
      right[i / 8u * PITCH + i % 8u] = other_at(kind, batch, head, other0 + i / 8u, 8u * step + i % 8u);
    }
    workgroupBarrier();
    for (var others = 0u; others < min(8u, end - other0); others++) {
      let y = right_block(others, lane % 8u);
      for (var i = 0u; i < 4u; i++) {
        (*sums)[step][i] += y * factors[(lane / 8u + 8u * i) * PITCH + others];
      }
    }
  }
}

// Where a row lies in \`output\`.
fn output_at(batch: u32, head: u32, row: u32) -> u32 {
  return first_quad(params.output, batch, head * params.group + row % params.group, row / params.group);
}

// Half of Σ gradient output of a row.
fn half_inner(batch: u32, head: u32, row: u32, half: u32) -> Element {
  var sum: Element;
  if (row < params.queries * params.group) {
    let first = output_at(batch, head, row);
    for (var quad = half; quad < params.quads; quad += 2u) {
      sum += dot(row_at(SLOPES, batch, head, row, quad), output[first + quad]);
    }
  }
  return sum;
}

// Where a row lies among all rows.
fn place_of(batch: u32, head: u32, row: u32) -> u32 {
  return (batch * params.queries + row / params.group) * params.heads * params.group + head * params.group + row % params.group;
}

fn rest_at(batch: u32, head: u32, row: u32) -> Element {
  return rest[params.rest_offset + place_of(batch, head, row)];
}

// Σ gradient output of a row; \`row_in_tile\` counts in the tile that \`inner\` is of.
fn inner_at(batch: u32, head: u32, row: u32, row_in_tile: u32) -> Element {
  if (FOR_KEYS) {
    return output[output_at(batch, head, row)].x;
  }
  return inner[row_in_tile] + inner[row_in_tile + TILE];
}

fn store(sums: ptr<function, Sums>, start: u32, batch: u32, head: u32, line0: u32, lane: u32) {
  for (var i = 0u; i < 4u; i++) {
    let line = line0 + lane / 8u + 8u * i;
    var place = (batch * params.keys + line) * params.heads + head;
    if (!FOR_KEYS) {
      place = place_of(batch, head, line);
    }
    for (var step = 0u; step < STEPS; step++) {
      let quad = 8u * step + lane % 8u;
      if (quad < params.quads && line < select(params.queries * params.group, params.keys, FOR_KEYS)) {
        out[start + place * params.quads + quad] = (*sums)[step][i];
      }
    }
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let rows = params.queries * params.group;
  let lines = select(rows, params.keys, FOR_KEYS);
  let tiles = (lines + TILE - 1u) / TILE;
  let place = group.y * groups.x + group.x;
  let head = place / tiles % params.heads;
  let batch = place / tiles / params.heads;
  if (batch >= params.batches) {
    return;
  }
  let tile = place % tiles;
  let own0 = select(tiles - 1u - tile, tile, FOR_KEYS) * TILE; // the longest first
  let down = lane / 8u;
  let across = lane % 8u;
  let first = offset[0];
  // keys up to the last one that the rows see, or rows from the first one that sees the keys
  var begin = 0u;
  var end = min(params.keys, (min(own0 + TILE, rows) - 1u) / params.group + first + 1u);
  if (FOR_KEYS) {
    begin = (max(own0, first) - first) * params.group / TILE * TILE;
    end = rows;
  } else {
    inner[lane] = half_inner(batch, head, own0 + lane % TILE, lane / TILE);
  }

  var sums: Sums;
  var value_sums: Sums;
  for (var other0 = begin; other0 < end; other0 += TILE) {
    let scores = products(SCORES, batch, head, own0, other0, lane);
    let slopes = products(SLOPES, batch, head, own0, other0, lane);
    var weights = array<Quad, 4>();
    var factor = array<Quad, 4>();
    for (var i = 0u; i < 4u; i++) {
      for (var j = 0u; j < 4u; j++) {
        let own = down + 8u * i;
        let other = across + 8u * j;
        let row_in_tile = select(own, other, FOR_KEYS);
        let row = select(own0, other0, FOR_KEYS) + row_in_tile;
        let key = select(other0 + other, own0 + own, FOR_KEYS);
        if (row < rows && key < params.keys && key <= row / params.group + first) {
          weights[i][j] = exp(scores[i][j] * params.scale - rest_at(batch, head, row));
          factor[i][j] = weights[i][j] * (slopes[i][j] - inner_at(batch, head, row, row_in_tile)) * params.scale;
        }
      }
    }
    if (FOR_KEYS) {
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        factors[(down + 8u * i) * PITCH + across] = weights[i];
      }
      accumulate(&value_sums, SLOPES, batch, head, other0, end, lane);
      workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
      factors[(down + 8u * i) * PITCH + across] = factor[i];
    }
    accumulate(&sums, SCORES, batch, head, other0, end, lane);
  }
  store(&sums, 0u, batch, head, own0, lane);
  if (FOR_KEYS) {
    store(&value_sums, params.batches * params.keys * params.heads * params.quads, batch, head, own0, lane);
  } else if (lane < TILE && own0 + lane < rows) {
    let size = params.batches * rows * params.heads * params.quads;
    out[size + place_of(batch, head, own0 + lane)] = Quad(inner_at(batch, head, own0 + lane, lane));
  }
}
`,
  attention_backward_texture: `// Gradients of causal attention of grouped heads in registers: of the queries, followed by Σ gradient output of each row, four times, or
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

alias Element = f32;
alias Quad = vec4<Element>;

// Strides of a tensor in quads.
struct View {
  batch: u32,
  position: u32,
  head: u32,
  offset: u32,
}

fn first_quad(view: View, batch: u32, head: u32, position: u32) -> u32 {
  return view.offset + batch * view.batch + head * view.head + position * view.position;
}

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
  // Elements before the first of \`rest\`.
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
`,
  attention_forward: `// Causal attention of grouped heads: softmax(q kᵀ scale) v over the keys that each query may see, and the logarithm of each row's sum.
//
// The query heads that share a key head are one matrix: its rows go through the queries, and through the heads of each query.
// A workgroup owns 32 rows and walks over tiles of 32 keys, up to the last one that its rows may see. Scores exist for one tile at a
// time: the sums so far are scaled down whenever a larger score appears (Milakov and Gimelshein, 2018; Dao et al., 2022).
// An invocation owns rows \`down + 8i\` and, among the keys of a tile, \`across + 8j\`.

// Steps of eight quads through a head, at most four.
override STEPS: u32 = 1;

alias Element = f32;
alias Quad = vec4<Element>;

// Strides of a tensor in quads.
struct View {
  batch: u32,
  position: u32,
  head: u32,
  offset: u32,
}

fn first_quad(view: View, batch: u32, head: u32, position: u32) -> u32 {
  return view.offset + batch * view.batch + head * view.head + position * view.position;
}

alias Block = mat4x4<Element>;

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

@group(0) @binding(0) var<storage, read> q: array<Quad>;
@group(0) @binding(1) var<storage, read> k: array<Quad>;
@group(0) @binding(2) var<storage, read> v: array<Quad>;
@group(0) @binding(3) var<storage, read> offset: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<Element>;
@group(0) @binding(5) var<uniform> params: Params;

const TILE = 32u;
const LANES = 64u;
// Quads from one line of a tile to the next: odd, so that neighbours read from different banks.
const PITCH = 9u;
const LOW = -3.4e38;
// The least that powers are counted from: above LOW, so that hidden keys count for nothing where all others score -infinity.
const LEAST = -3.3e38;

var<workgroup> left: array<Quad, 288>;
var<workgroup> right: array<Quad, 288>;
var<workgroup> weights: array<Quad, 288>;
var<workgroup> parts: array<Element, 256>;

fn q_at(batch: u32, head: u32, row: u32, quad: u32) -> Quad {
  if (row >= params.queries * params.group || quad >= params.quads) {
    return Quad();
  }
  return q[first_quad(params.q, batch, head * params.group + row % params.group, row / params.group) + quad];
}

fn k_at(batch: u32, head: u32, key: u32, quad: u32) -> Quad {
  if (key >= params.keys || quad >= params.quads) {
    return Quad();
  }
  return k[first_quad(params.k, batch, head, key) + quad];
}

fn v_at(batch: u32, head: u32, key: u32, quad: u32) -> Quad {
  if (key >= params.keys || quad >= params.quads) {
    return Quad();
  }
  return v[first_quad(params.v, batch, head, key) + quad];
}

// Four lines of the right tile, eight lines apart.
fn right_block(line: u32, quad: u32) -> Block {
  let at = line * PITCH + quad;
  return Block(right[at], right[at + 8u * PITCH], right[at + 16u * PITCH], right[at + 24u * PITCH]);
}

fn largest_of(row: u32) -> Element {
  var result = parts[8u * row];
  for (var i = 1u; i < 8u; i++) {
    result = max(result, parts[8u * row + i]);
  }
  return result;
}

fn total_of(row: u32) -> Element {
  var result = parts[8u * row];
  for (var i = 1u; i < 8u; i++) {
    result += parts[8u * row + i];
  }
  return result;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let rows = params.queries * params.group;
  let tiles = (rows + TILE - 1u) / TILE;
  let place = group.y * groups.x + group.x;
  let head = place / tiles % params.heads;
  let batch = place / tiles / params.heads;
  if (batch >= params.batches) {
    return;
  }
  let row0 = (tiles - 1u - place % tiles) * TILE; // the longest first
  let down = lane / 8u;
  let across = lane % 8u;
  let first = offset[0];
  let end = min(params.keys, (min(row0 + TILE, rows) - 1u) / params.group + first + 1u);

  var sums: array<array<Quad, 4>, 4>; // by step, then row
  var tops = array<Element, 4>(LEAST, LEAST, LEAST, LEAST);
  var totals: array<Element, 4>;
  for (var key0 = 0u; key0 < end; key0 += TILE) {
    var scores = array<Quad, 4>();
    for (var step = 0u; step < STEPS; step++) {
      workgroupBarrier();
      for (var i = lane; i < 8u * TILE; i += LANES) {
        let at = i / 8u * PITCH + i % 8u;
        if (STEPS > 1u || key0 == 0u) {
          left[at] = q_at(batch, head, row0 + i / 8u, 8u * step + i % 8u);
        }
        right[at] = k_at(batch, head, key0 + i / 8u, 8u * step + i % 8u);
      }
      workgroupBarrier();
      for (var quad = 0u; quad < min(8u, params.quads - 8u * step); quad++) {
        let y = right_block(across, quad);
        for (var i = 0u; i < 4u; i++) {
          scores[i] += left[(down + 8u * i) * PITCH + quad] * y;
        }
      }
    }
    let key = vec4(key0 + across) + vec4(0u, 8u, 16u, 24u);
    for (var i = 0u; i < 4u; i++) {
      let last = min((row0 + down + 8u * i) / params.group + first, params.keys - 1u);
      scores[i] = select(Quad(LOW), scores[i] * params.scale, key <= vec4(last));
      parts[8u * (down + 8u * i) + across] = max(max(scores[i].x, scores[i].y), max(scores[i].z, scores[i].w));
    }
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
      let top = max(tops[i], largest_of(down + 8u * i));
      let shrink = exp(tops[i] - top);
      let powers = exp(scores[i] - top);
      tops[i] = top;
      totals[i] = totals[i] * shrink + dot(powers, Quad(1.0));
      weights[(down + 8u * i) * PITCH + across] = powers;
      for (var step = 0u; step < STEPS; step++) {
        sums[step][i] *= shrink;
      }
    }
    for (var step = 0u; step < STEPS; step++) {
      workgroupBarrier();
      for (var i = lane; i < 8u * TILE; i += LANES) {
        right[i / 8u * PITCH + i % 8u] = v_at(batch, head, key0 + i / 8u, 8u * step + i % 8u);
      }
      workgroupBarrier();
      for (var keys = 0u; keys < min(8u, end - key0); keys++) {
        let y = right_block(keys, across);
        for (var i = 0u; i < 4u; i++) {
          sums[step][i] += y * weights[(down + 8u * i) * PITCH + keys];
        }
      }
    }
  }

  for (var i = 0u; i < 4u; i++) {
    parts[8u * (down + 8u * i) + across] = totals[i];
  }
  workgroupBarrier();
  let size = params.batches * rows * params.heads * params.quads * 4u;
  for (var i = 0u; i < 4u; i++) {
    let row = row0 + down + 8u * i;
    let total = total_of(down + 8u * i);
    let place = (batch * params.queries + row / params.group) * params.heads * params.group + head * params.group + row % params.group;
    for (var step = 0u; step < STEPS; step++) {
      let quad = 8u * step + across;
      if (row < rows && quad < params.quads) {
        let result = sums[step][i] / total;
        for (var e = 0u; e < 4u; e++) {
          out[4u * (place * params.quads + quad) + e] = result[e];
        }
      }
    }
    if (row < rows && across == 0u) {
      out[size + place] = tops[i] + log(total);
    }
  }
}
`,
  attention_forward_texture: `// Causal attention of grouped heads in registers: softmax(q kᵀ scale) v, where a query sees the keys up to its own, and the logarithm of
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

alias Element = f32;
alias Quad = vec4<Element>;

// Strides of a tensor in quads.
struct View {
  batch: u32,
  position: u32,
  head: u32,
  offset: u32,
}

fn first_quad(view: View, batch: u32, head: u32, position: u32) -> u32 {
  return view.offset + batch * view.batch + head * view.head + position * view.position;
}

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
`,
  causal_softmax: `// Softmax of each row over the keys that its query may see: those up to row % queries + offset; the others get zero.
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

var<workgroup> parts: array<Element, LANES>;

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

// The largest of the members of a row.
fn largest(part: Element, lane: u32, member: u32) -> Element {
  if (MEMBERS == 1u) {
    return part;
  }
  parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      parts[lane] = max(parts[lane], parts[lane + step]);
    }
  }
  workgroupBarrier();
  let result = parts[lane - member];
  workgroupBarrier();
  return result;
}

fn counted_from(top: Element, powers: Powers) -> Powers {
  return Powers(top, powers.sum * exp(powers.top - top));
}

fn largest_of(v: Quad) -> Element {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn scores_at(index: u32) -> Quad {
  return scores[index]; //: load
}

// Scores of a quad, those at or beyond \`end\` so low that their power is zero.
fn visible_at(first: u32, quad: u32, end: u32) -> Quad {
  return select(Quad(-3.4e38), scores_at(first + quad), vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) < vec4(end));
}

// Sum of powers of e, counted from the exponent \`top\`, the largest so far.
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
`,
  cross_entropy_backward: `// Gradient of the logits in log(sum of exp(logits)) - logits[label], times the gradient of each row's loss: softmax minus the label's one.
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

var<workgroup> parts: array<Element, LANES>;

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

// The largest of the members of a row.
fn largest(part: Element, lane: u32, member: u32) -> Element {
  if (MEMBERS == 1u) {
    return part;
  }
  parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      parts[lane] = max(parts[lane], parts[lane + step]);
    }
  }
  workgroupBarrier();
  let result = parts[lane - member];
  workgroupBarrier();
  return result;
}

fn counted_from(top: Element, powers: Powers) -> Powers {
  return Powers(top, powers.sum * exp(powers.top - top));
}

fn largest_of(v: Quad) -> Element {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn logits_at(index: u32) -> Quad {
  return logits[index]; //: load
}

// Sum of powers of e, counted from the exponent \`top\`, the largest so far.
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
`,
  cross_entropy_forward: `// Loss of each row of logits: log(sum of exp(logits)) - logits[label]; a label that is no class subtracts nothing.
//
// MEMBERS invocations share a row, and walk over it once.
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
@group(0) @binding(2) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> parts: array<Element, LANES>;

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

// The largest of the members of a row.
fn largest(part: Element, lane: u32, member: u32) -> Element {
  if (MEMBERS == 1u) {
    return part;
  }
  parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      parts[lane] = max(parts[lane], parts[lane + step]);
    }
  }
  workgroupBarrier();
  let result = parts[lane - member];
  workgroupBarrier();
  return result;
}

fn counted_from(top: Element, powers: Powers) -> Powers {
  return Powers(top, powers.sum * exp(powers.top - top));
}

fn largest_of(v: Quad) -> Element {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn logits_at(index: u32) -> Quad {
  return logits[index]; //: load
}

// Sum of powers of e, counted from the exponent \`top\`, the largest so far.
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
  if (!exists || member > 0u) {
    return;
  }
  let label = labels[row];
  var chosen: Element;
  if (label < 4u * params.quads) {
    chosen = logits_at(first + label / 4u)[label % 4u];
  }
  out[row] = log(sum) + top - chosen;
}
`,
  half_gather: `// Rows of a half-precision table, chosen by index: Y[t, k] = W[index[t], k]; rows outside of the table are zeros.
//
// W lies as in half_matmul.wgsl. An invocation takes eight columns of a row.

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows to fetch.
  tokens: u32,
  // Rows of W.
  rows: u32,
  // Columns of W, in eights.
  eights: u32,
}

@group(0) @binding(0) var<storage, read> table: array<Words>; //: input
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Quad>;
@group(0) @binding(3) var<uniform> params: Params;

fn load_table(at: u32) -> Words {
  return table[at]; //: load
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let item = (workgroup.y * workgroups.x + workgroup.x) * 64u + member;
  let token = item / params.eights;
  if (token >= params.tokens) {
    return;
  }
  let row = indices[token];
  var words: Words;
  if (row < params.rows) {
    words = load_table((row / 64u * params.eights + item % params.eights) * 64u + row % 64u);
  }
  out[item * 2u] = Quad(unpack2x16float(words.x), unpack2x16float(words.y));
  out[item * 2u + 1u] = Quad(unpack2x16float(words.z), unpack2x16float(words.w));
}
`,
  half_matmul: `// Product with a half-precision table: Y[t, n] = sum over k of X[t, k] * W[n, k], as the output head needs for one token.
//
// Halves lie two to a word, eight columns of a row in four words. A panel is 64 rows: their first eight columns lie side by side, then
// come the next eight, so that a panel is read from its beginning to its end. LANES neighbouring invocations take a row each, and
// then the LANES rows after those, ROWS times; SLICES of them share the columns and add their sums.

// Rows of W that one invocation takes: 8 or 1.
override ROWS: u32 = 8;
// Neighbouring rows that as many invocations take: 64 / ROWS.
override LANES: u32 = 8;
// Invocations that share the columns.
override SLICES: u32 = 1;

const PANEL = 64u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Rows of W, columns of Y.
  rows: u32,
  // Columns of X and W, in eights.
  eights: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> table: array<Words>; //: input
@group(0) @binding(2) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<Element, PANEL * SLICES>;

fn load_x(at: u32) -> Quad {
  return x[at]; //: load
}

fn load_table(at: u32) -> Words {
  return table[at]; //: load
}

// Four partial sums of eight products.
fn products(words: Words, first: Quad, second: Quad) -> Quad {
  return Quad(unpack2x16float(words.x), unpack2x16float(words.y)) * first +
    Quad(unpack2x16float(words.z), unpack2x16float(words.w)) * second;
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let lane = member % LANES;
  let slice = member / LANES;
  let tile = workgroup.y * workgroups.x + workgroup.x;
  let token = tile % params.tokens;
  let panel = tile / params.tokens;
  if (panel * PANEL >= params.rows) {
    return;
  }

  var sums: array<Quad, 8>;
  var eight = slice;
  if (eight < params.eights) {
    loop { // ends at its bottom: see ternary_matmul.wgsl
      let first = load_x((token * params.eights + eight) * 2u);
      let second = load_x((token * params.eights + eight) * 2u + 1u);
      let at = (panel * params.eights + eight) * PANEL + lane;
      sums[0] += products(load_table(at), first, second);
      if (ROWS > 1u) {
        sums[1] += products(load_table(at + 1u * LANES), first, second);
        sums[2] += products(load_table(at + 2u * LANES), first, second);
        sums[3] += products(load_table(at + 3u * LANES), first, second);
        sums[4] += products(load_table(at + 4u * LANES), first, second);
        sums[5] += products(load_table(at + 5u * LANES), first, second);
        sums[6] += products(load_table(at + 6u * LANES), first, second);
        sums[7] += products(load_table(at + 7u * LANES), first, second);
      }
      eight += SLICES;
      if (eight >= params.eights) {
        break;
      }
    }
  }
  var results: array<Element, 8>;
  for (var i = 0u; i < ROWS; i++) {
    results[i] = dot(sums[i], Quad(1.0));
  }
  if (SLICES > 1u) {
    for (var i = 0u; i < ROWS; i++) {
      partial[slice * PANEL + i * LANES + lane] = results[i];
    }
    workgroupBarrier();
    if (slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var i = 0u; i < ROWS; i++) {
        results[i] += partial[other * PANEL + i * LANES + lane];
      }
    }
  }
  for (var i = 0u; i < ROWS; i++) {
    let row = panel * PANEL + i * LANES + lane;
    if (row < params.rows) {
      out[token * params.rows + row] = results[i];
    }
  }
}
`,
  hestia_backward: `// Gradient of ternary Hestia weights, see hestia_forward.wgsl: with E the expected code and g the gradient of the result, d w_i =
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

var<workgroup> parts: array<Element, LANES>;

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

// The nearest float16, ties to even. In whole numbers, since drivers take what is narrowed and widened again for what it was.
fn round_to_half(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let size = bits & 0x7fffffffu;
  let normal = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
  let subnormal = bitcast<u32>(round(abs(value) * 0x1p+24f) * 0x1p-24f);
  let large = select(normal, 0x7f800000u, normal >= 0x47800000u);
  let rounded = select(large, subnormal, size < 0x38800000u);
  return bitcast<f32>(select(rounded, size, size > 0x7f800000u) | (bits & 0x80000000u));
}

fn scale_of(mean: Element) -> Element {
  let scale = select(max(mean, EPSILON), mean + EPSILON, OFFSET);
  let is_nan = (bitcast<u32>(mean) & 0x7fffffffu) > 0x7f800000u; // which a maximum may take for the smaller one
  return select(select(scale, round_to_half(scale), HALF), mean, is_nan);
}

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

// Of x = w / scale: with u = 2 |x| - 1, the codes 0, sign(x) and -sign(x) weigh t : near^2 : far^2, where t = exp(-|u| k) and none exceeds 1; \`last\`
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
`,
  hestia_forward: `// Ternary Hestia weights: (1 - pressure) w + pressure s E(w / s), with s the scale of a group (its mean magnitude) and E the expected code.
//
// E(x) is the mean of -1, 0 and 1 under softmax(-(x - code)^2 * sharpness), or, where HARD, the nearest code. A group is
// \`quads\` quads side by side. MEMBERS invocations share it: each walks over its quads once for the scale and once more, while a cache still
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

var<workgroup> parts: array<Element, LANES>;

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

// The nearest float16, ties to even. In whole numbers, since drivers take what is narrowed and widened again for what it was.
fn round_to_half(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let size = bits & 0x7fffffffu;
  let normal = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
  let subnormal = bitcast<u32>(round(abs(value) * 0x1p+24f) * 0x1p-24f);
  let large = select(normal, 0x7f800000u, normal >= 0x47800000u);
  let rounded = select(large, subnormal, size < 0x38800000u);
  return bitcast<f32>(select(rounded, size, size > 0x7f800000u) | (bits & 0x80000000u));
}

fn scale_of(mean: Element) -> Element {
  let scale = select(max(mean, EPSILON), mean + EPSILON, OFFSET);
  let is_nan = (bitcast<u32>(mean) & 0x7fffffffu) > 0x7f800000u; // which a maximum may take for the smaller one
  return select(select(scale, round_to_half(scale), HALF), mean, is_nan);
}

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

// Of x = w / scale: with u = 2 |x| - 1, the codes 0, sign(x) and -sign(x) weigh t : near^2 : far^2, where t = exp(-|u| k) and none exceeds 1; \`last\`
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
`,
  map: `// One invocation computes one element (or four, or several times four) of each output. The compiler replaces the marked lines by the
// bindings and the body of a fused expression; as stored, the shader writes each element's position.

const COUNT: u32 = 1u; //: constants
@group(0) @binding(0) var<storage, read_write> out0: array<f32>; //: bindings

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let place = (group.y * groups.x + group.x) * 64u + lane;
  if (place >= COUNT) {
    return;
  }
  out0[place] = f32(place); //: body
}
`,
  matmul_general: `// Matrix product of any strided views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. No k gives zeros.
// Several products of one layout may be added up (terms), and several such sums computed at once (outputs).
//
// One invocation computes a tile of C of ROWS rows by 4 or 8 columns, kept in registers, loading element by element, four steps
// of k a turn. C is contiguous. Tiles are numbered along n, then m, then the batch, then the output; a
// workgroup takes LANES of them. Rows, columns and steps past the edge repeat the last one and are not counted.

// Rows of the tile, 1 to 4.
override ROWS: u32 = 4;
// Whether the tile has 8 columns (else 4).
override WIDE: bool = true;
// Invocations of a workgroup.
override LANES: u32 = 8;

alias Element = f32;
alias Quad = vec4<Element>;

struct Operand {
  // Elements from one batch index to the next, for each batch axis; 0 repeats.
  batch: vec3<u32>,
  // Elements from one row to the next.
  row: u32,
  // Elements from one column to the next.
  column: u32,
}

struct Params {
  a: Operand,
  b: Operand,
  // Lengths of the batch axes.
  batch: vec3<u32>,
  // Rows of A and C.
  m: u32,
  // Columns of B and C.
  n: u32,
  // Columns of A, rows of B.
  k: u32,
  // Products added up in each output.
  terms: u32,
  // Outputs.
  outputs: u32,
  // For each product, those of one output side by side: the buffer of A and the elements before its first one, the same of B.
  parts: array<vec4<u32>, 16>,
}

@group(0) @binding(0) var<storage, read> a: array<Element>; //: a
@group(0) @binding(1) var<storage, read> b: array<Element>; //: b
@group(0) @binding(2) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(3) var<uniform> params: Params; //: params

fn first_element(operand: Operand, start: u32, place: vec3<u32>) -> u32 {
  let steps = operand.batch * place;
  return start + steps.x + steps.y + steps.z;
}

fn element_of_a(buffer: u32, element: u32) -> Element {
  return a[element]; //: load_a
}

fn element_of_b(buffer: u32, element: u32) -> Element {
  return b[element]; //: load_b
}

// Stores an element of an output.
fn store(output: u32, at: u32, value: Element) {
  out[at] = value; //: store
}

// Where the tile lies in an operand: its buffer, the first element of the matrix, and the row of A or the column of B.
struct Place {
  buffer: u32,
  first: u32,
  line: u32,
}

// Columns 0 to 3 and 4 to 7 of the tile, by rows.
struct Tile {
  left: array<Quad, 4>,
  right: array<Quad, 4>,
}

fn quad_of_b(at: Place, k: u32) -> Quad {
  let columns = min(vec4(at.line) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
  let from_b = vec4(at.first + k * params.b.row) + columns * params.b.column;
  return Quad(element_of_b(at.buffer, from_b.x), element_of_b(at.buffer, from_b.y), element_of_b(at.buffer, from_b.z), element_of_b(at.buffer, from_b.w));
}

// Adds the products of one k; nothing beyond the last.
fn add_step(sum: ptr<function, Tile>, at_a: Place, at_b: Place, step: u32) {
  let inside = step < params.k;
  let k = min(step, params.k - 1u);
  let left = select(Quad(), quad_of_b(at_b, k), inside);
  var right: Quad;
  if (WIDE) {
    right = select(Quad(), quad_of_b(Place(at_b.buffer, at_b.first, at_b.line + 4u), k), inside);
  }
  for (var r = 0u; r < ROWS; r++) {
    let x = select(0, element_of_a(at_a.buffer, at_a.first + min(at_a.line + r, params.m - 1u) * params.a.row + k * params.a.column), inside);
    (*sum).left[r] += x * left;
    if (WIDE) {
      (*sum).right[r] += x * right;
    }
  }
}

fn store_quad(quad: Quad, output: u32, batch: u32, row: u32, column: u32) {
  for (var i = 0u; i < 4u; i++) {
    if (row < params.m && column + i < params.n) {
      store(output, (batch * params.m + row) * params.n + column + i, quad[i]);
    }
  }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let columns = select(4u, 8u, WIDE);
  let tiles_along_n = (params.n + columns - 1u) / columns;
  let tiles = (params.m + ROWS - 1u) / ROWS * tiles_along_n;
  let tile = (group.y * groups.x + group.x) * LANES + lane;
  let batches = params.batch.x * params.batch.y * params.batch.z;
  let output = tile / tiles / batches;
  if (output >= params.outputs) {
    return;
  }
  let batch = tile / tiles % batches;
  let row = tile % tiles / tiles_along_n * ROWS;
  let column = tile % tiles_along_n * columns;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);

  var sum: Tile;
  for (var term = 0u; term < params.terms; term++) {
    let part = params.parts[output * params.terms + term];
    let at_a = Place(part.x, first_element(params.a, part.y, place), row);
    let at_b = Place(part.z, first_element(params.b, part.w, place), column);
    // Four turns written out: some drivers bound the turns of loops.
    for (var k = 0u; k < params.k; k += 4u) {
      add_step(&sum, at_a, at_b, k);
      add_step(&sum, at_a, at_b, k + 1u);
      add_step(&sum, at_a, at_b, k + 2u);
      add_step(&sum, at_a, at_b, k + 3u);
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    store_quad(sum.left[r], output, batch, row + r, column);
    if (WIDE) {
      store_quad(sum.right[r], output, batch, row + r, column + 4u);
    }
  }
}
`,
  matmul_rows: `// Matrix product with few rows: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n] for m <= ROWS, as in decoding token by token. Several
// products of one layout may be added up (terms), and several such sums computed at once (outputs).
//
// MEMBERS invocations of a workgroup compute ROWS rows by 4 columns of C together, each walking along its share of k four steps at a time. Loads are quads (four elements side
// by side): A along k, B along k or along n. C is contiguous. Groups of 4 columns are numbered along n, then the batch, then
// the output. Neighbours load what lies side by side. Rows and columns past the edge repeat the last one and are not written.

// Whether quads of B run along n (else along k).
override B_ALONG_N: bool = false;
// Rows of C that one invocation computes, 1 to 8; all of them.
override ROWS: u32 = 1;
// Invocations of a workgroup, at most 64.
override LANES: u32 = 8;
// Invocations that share k, a divisor of LANES.
override MEMBERS: u32 = 1;

alias Element = f32;
alias Quad = vec4<Element>;

struct Operand {
  // Quads from one batch index to the next, for each batch axis; 0 repeats.
  batch: vec3<u32>,
  // Quads from one line to the next, across the axis that quads run along.
  pitch: u32,
}

struct Params {
  a: Operand,
  b: Operand,
  // Lengths of the batch axes.
  batch: vec3<u32>,
  // Rows of A and C.
  m: u32,
  // Columns of B and C.
  n: u32,
  // Columns of A, rows of B: a multiple of 4.
  k: u32,
  // Products added up in each output.
  terms: u32,
  // Outputs.
  outputs: u32,
  // For each product, those of one output side by side: the buffer of A and the quads before its first element, the same of B.
  parts: array<vec4<u32>, 16>,
}

@group(0) @binding(0) var<storage, read> a: array<Quad>; //: a
@group(0) @binding(1) var<storage, read> b: array<Quad>; //: b
@group(0) @binding(2) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(3) var<uniform> params: Params; //: params

// Sums of each invocation, by rows.
var<workgroup> partials: array<Quad, 512>;

fn first_quad(operand: Operand, start: u32, place: vec3<u32>) -> u32 {
  let steps = operand.batch * place;
  return start + steps.x + steps.y + steps.z;
}

fn quad_of_a(buffer: u32, quad: u32) -> Quad {
  return a[quad]; //: load_a
}

fn quad_of_b(buffer: u32, quad: u32) -> Quad {
  return b[quad]; //: load_b
}

// Stores an element of an output.
fn store(output: u32, at: u32, value: Element) {
  out[at] = value; //: store
}

// Rows k .. k + 3 and columns column .. column + 3 of B; column i of the block is row k + i.
fn block_of_b(buffer: u32, first: u32, k: u32, column: u32) -> mat4x4<Element> {
  let pitch = params.b.pitch;
  if (B_ALONG_N) {
    let at = first + min(column, params.n - 1u) / 4u + k * pitch;
    return mat4x4(quad_of_b(buffer, at), quad_of_b(buffer, at + pitch), quad_of_b(buffer, at + 2u * pitch), quad_of_b(buffer, at + 3u * pitch));
  }
  let at = vec4(first + k / 4u) + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)) * pitch;
  return transpose(mat4x4(quad_of_b(buffer, at.x), quad_of_b(buffer, at.y), quad_of_b(buffer, at.z), quad_of_b(buffer, at.w)));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let width = (params.n + 3u) / 4u;
  let batches = params.batch.x * params.batch.y * params.batch.z;
  let items = width * batches * params.outputs;
  let shares = LANES / MEMBERS;
  let own = select(lane / MEMBERS, lane % shares, B_ALONG_N);
  let member = select(lane % MEMBERS, lane / shares, B_ALONG_N);
  let index = (group.y * groups.x + group.x) * shares + own;
  let item = min(index, items - 1u);
  let output = item / width / batches;
  let batch = item / width % batches;
  let column = item % width * 4u;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);

  var sum: array<Quad, 8>;
  for (var term = 0u; term < params.terms; term++) {
    let part = params.parts[output * params.terms + term];
    let first_a = first_quad(params.a, part.y, place);
    let first_b = first_quad(params.b, part.w, place);
    for (var k = 4u * member; k < params.k; k += 4u * MEMBERS) {
      let y = block_of_b(part.z, first_b, k, column);
      for (var r = 0u; r < ROWS; r++) {
        sum[r] += y * quad_of_a(part.x, first_a + min(r, params.m - 1u) * params.a.pitch + k / 4u);
      }
    }
  }
  if (MEMBERS > 1u) {
    for (var r = 0u; r < ROWS; r++) {
      partials[r * LANES + lane] = sum[r];
    }
    workgroupBarrier();
    for (var other = 1u; other < MEMBERS; other++) {
      let from_lane = select(own * MEMBERS + other, other * shares + own, B_ALONG_N);
      for (var r = 0u; r < ROWS; r++) {
        sum[r] += partials[r * LANES + from_lane];
      }
    }
  }
  if (member > 0u || index >= items) {
    return;
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var i = 0u; i < 4u; i++) {
      if (r < params.m && column + i < params.n) {
        store(output, (batch * params.m + r) * params.n + column + i, sum[r][i]);
      }
    }
  }
}
`,
  matmul_shared: `// Matrix product of any strided views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. Several products of one layout may be added up
// (terms), and several such sums computed at once (outputs).
//
// A workgroup of SPAN by SPAN invocations computes a tile of C of 4 SPAN QUADS rows by as many columns. It copies 16 steps of k of both
// operands to workgroup memory at a time, neighbours loading what lies side by side; each invocation then adds up blocks of 4 QUADS by
// 4 QUADS, step by step: tiles of all sizes give the same bits. C is contiguous. Tiles are numbered along n, then m, then the batch, then
// the output. Rows, columns and steps past the edge repeat the last one and are not counted.

// Quads of rows, and of columns, that an invocation computes: 1 or 2.
override QUADS: u32 = 2;
// Invocations along each side of a tile: 8 or 16.
override SPAN: u32 = 8;
// Whether neighbours along k lie side by side in A (else along m).
override A_ALONG_K: bool = true;
// Whether neighbours along n lie side by side in B (else along k).
override B_ALONG_N: bool = true;

const STEPS: u32 = 16;

alias Element = f32;
alias Quad = vec4<Element>;

struct Operand {
  // Elements from one batch index to the next, for each batch axis; 0 repeats.
  batch: vec3<u32>,
  // Elements from one row to the next.
  row: u32,
  // Elements from one column to the next.
  column: u32,
}

struct Params {
  a: Operand,
  b: Operand,
  // Lengths of the batch axes.
  batch: vec3<u32>,
  // Rows of A and C.
  m: u32,
  // Columns of B and C.
  n: u32,
  // Columns of A, rows of B.
  k: u32,
  // Products added up in each output.
  terms: u32,
  // Outputs.
  outputs: u32,
  // For each product, those of one output side by side: the buffer of A and the elements before its first one, the same of B.
  parts: array<vec4<u32>, 16>,
}

@group(0) @binding(0) var<storage, read> a: array<Element>; //: a
@group(0) @binding(1) var<storage, read> b: array<Element>; //: b
@group(0) @binding(2) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(3) var<uniform> params: Params; //: params

// By step, then quads of rows, or of columns.
var<workgroup> tile_a: array<Quad, STEPS * SPAN * QUADS>;
var<workgroup> tile_b: array<Quad, STEPS * SPAN * QUADS>;

fn first_element(operand: Operand, start: u32, place: vec3<u32>) -> u32 {
  let steps = operand.batch * place;
  return start + steps.x + steps.y + steps.z;
}

fn element_of_a(buffer: u32, element: u32) -> Element {
  return a[element]; //: load_a
}

fn element_of_b(buffer: u32, element: u32) -> Element {
  return b[element]; //: load_b
}

// Stores an element of an output.
fn store(output: u32, at: u32, value: Element) {
  out[at] = value; //: store
}

// Place \`index\` of a tile: its line, that is row or column, and its step; neighbours follow the step, or the line.
fn place_in_tile(index: u32, along_k: bool) -> vec2<u32> {
  let lines = 4u * SPAN * QUADS;
  return select(vec2(index % lines, index / lines), vec2(index / STEPS, index % STEPS), along_k);
}

fn load_a(buffer: u32, first: u32, row: u32, k: u32, lane: u32) {
  for (var i = lane; i < 4u * SPAN * QUADS * STEPS; i += SPAN * SPAN) {
    let at = place_in_tile(i, A_ALONG_K);
    let step = min(k + at.y, params.k - 1u);
    let value = element_of_a(buffer, first + min(row + at.x, params.m - 1u) * params.a.row + step * params.a.column);
    tile_a[at.y * SPAN * QUADS + at.x / 4u][at.x % 4u] = select(0, value, k + at.y < params.k);
  }
}

fn load_b(buffer: u32, first: u32, column: u32, k: u32, lane: u32) {
  for (var i = lane; i < 4u * SPAN * QUADS * STEPS; i += SPAN * SPAN) {
    let at = place_in_tile(i, !B_ALONG_N);
    let step = min(k + at.y, params.k - 1u);
    let value = element_of_b(buffer, first + step * params.b.row + min(column + at.x, params.n - 1u) * params.b.column);
    tile_b[at.y * SPAN * QUADS + at.x / 4u][at.x % 4u] = select(0, value, k + at.y < params.k);
  }
}

@compute @workgroup_size(SPAN * SPAN)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let side = 4u * SPAN * QUADS;
  let tiles_along_n = (params.n + side - 1u) / side;
  let tiles = (params.m + side - 1u) / side * tiles_along_n;
  let tile = group.y * groups.x + group.x;
  let batches = params.batch.x * params.batch.y * params.batch.z;
  let output = tile / tiles / batches;
  if (output >= params.outputs) {
    return;
  }
  let batch = tile / tiles % batches;
  let row = tile % tiles / tiles_along_n * side;
  let column = tile % tiles_along_n * side;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);
  // Quads of this invocation: SPAN apart, so that neighbours read neighbouring quads.
  let across = lane % SPAN;
  let down = lane / SPAN;

  // By quads of columns, then rows.
  var sum: array<Quad, 16>;
  for (var term = 0u; term < params.terms; term++) {
    let part = params.parts[output * params.terms + term];
    let first_a = first_element(params.a, part.y, place);
    let first_b = first_element(params.b, part.w, place);
    for (var k = 0u; k < params.k; k += STEPS) {
      load_a(part.x, first_a, row, k, lane);
      load_b(part.z, first_b, column, k, lane);
      workgroupBarrier();
      for (var step = 0u; step < STEPS; step++) {
        for (var j = 0u; j < QUADS; j++) {
          let y = tile_b[(step * QUADS + j) * SPAN + across];
          for (var i = 0u; i < QUADS; i++) {
            let x = tile_a[(step * QUADS + i) * SPAN + down];
            let first = 8u * j + 4u * i;
            sum[first] += x.x * y;
            sum[first + 1u] += x.y * y;
            sum[first + 2u] += x.z * y;
            sum[first + 3u] += x.w * y;
          }
        }
      }
      workgroupBarrier();
    }
  }
  for (var i = 0u; i < 4u * QUADS; i++) {
    let at_row = row + 4u * (SPAN * (i / 4u) + down) + i % 4u;
    for (var j = 0u; j < 4u * QUADS; j++) {
      let at_column = column + 4u * (SPAN * (j / 4u) + across) + j % 4u;
      if (at_row < params.m && at_column < params.n) {
        store(output, (batch * params.m + at_row) * params.n + at_column, sum[8u * (j / 4u) + i][j % 4u]);
      }
    }
  }
}
`,
  matmul_tile: `// Matrix product of aligned views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. Several products of one layout may be added up
// (terms), and several such sums computed at once (outputs).
//
// One invocation computes a tile of C of 16 or 32 rows by 16 or 32 columns, kept in registers as 4 x 4 blocks, and walks along k
// four steps at a time. Every load and store is a quad (four elements side by side): A along k or along m, B along n or along k.
// C is contiguous, N is a multiple of 4. Tiles are numbered along n, then m, then the batch, then the
// output; a workgroup takes LANES of them. Rows and columns past the edge repeat the last one and are not written. The marked lines are
// replaced to read textures or several buffers, and to compute with what is stored.

// Whether quads of A run along k (else along m).
override A_ALONG_K: bool = true;
// Whether quads of B run along n (else along k).
override B_ALONG_N: bool = true;
// Whether k is not a multiple of 4; then neither operand may run along k.
override RAGGED_K: bool = false;
// Whether a tile has 32 rows (else 16).
override TALL: bool = false;
// Whether a tile has 32 columns (else 16).
override WIDE: bool = false;
// Invocations of a workgroup.
override LANES: u32 = 8;

alias Element = f32;
alias Quad = vec4<Element>;
// Column i of an A block is row i of A; column i of a B block is row i of B; so \`y * x\` is the product x y, by rows.
alias Block = mat4x4<Element>;

// Blocks one below the other: four, or eight in a TALL tile.
struct Strip {
  r0: Block,
  r1: Block,
  r2: Block,
  r3: Block,
  r4: Block,
  r5: Block,
  r6: Block,
  r7: Block,
}

struct Operand {
  // Quads from one batch index to the next, for each batch axis; 0 repeats.
  batch: vec3<u32>,
  // Quads from one line to the next, across the axis that quads run along.
  pitch: u32,
}

struct Params {
  a: Operand,
  b: Operand,
  // Lengths of the batch axes.
  batch: vec3<u32>,
  // Rows of A and C.
  m: u32,
  // Columns of B and C.
  n: u32,
  // Columns of A, rows of B.
  k: u32,
  // Products added up in each output.
  terms: u32,
  // Outputs.
  outputs: u32,
  // For each product, those of one output side by side: the buffer of A and the quads before its first element, the same of B.
  parts: array<vec4<u32>, 16>,
}

@group(0) @binding(0) var<storage, read> a: array<Quad>; //: a
@group(0) @binding(1) var<storage, read> b: array<Quad>; //: b
@group(0) @binding(2) var<storage, read_write> out: array<Quad>; //: out
@group(0) @binding(3) var<uniform> params: Params; //: params

// An operand of one product.
struct Source {
  buffer: u32,
  // Quads before the first element.
  first: u32,
}

fn source(operand: Operand, buffer: u32, start: u32, place: vec3<u32>) -> Source {
  let steps = operand.batch * place;
  return Source(buffer, start + steps.x + steps.y + steps.z);
}

fn quad_of_a(buffer: u32, quad: u32) -> Quad {
  return a[quad]; //: load_a
}

fn quad_of_b(buffer: u32, quad: u32) -> Quad {
  return b[quad]; //: load_b
}

// Stores four elements of an output; \`at\` counts in fours.
fn store(output: u32, at: u32, value: Quad) {
  out[at] = value; //: store
}

fn line_of_a(buffer: u32, quad: u32, k: u32) -> Quad {
  return select(Quad(), quad_of_a(buffer, quad + k * params.a.pitch), !RAGGED_K || k < params.k);
}

fn line_of_b(buffer: u32, quad: u32, k: u32) -> Quad {
  return select(Quad(), quad_of_b(buffer, quad + k * params.b.pitch), !RAGGED_K || k < params.k);
}

// Rows row .. row + 3 and columns k .. k + 3 of A.
fn block_of_a(origin: Source, row: u32, k: u32) -> Block {
  if (A_ALONG_K) {
    let at = vec4(origin.first + k / 4u) + min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.m - 1u)) * params.a.pitch;
    return Block(quad_of_a(origin.buffer, at.x), quad_of_a(origin.buffer, at.y), quad_of_a(origin.buffer, at.z), quad_of_a(origin.buffer, at.w));
  }
  let at = origin.first + min(row, params.m - 1u) / 4u;
  return transpose(Block(line_of_a(origin.buffer, at, k), line_of_a(origin.buffer, at, k + 1u), line_of_a(origin.buffer, at, k + 2u), line_of_a(origin.buffer, at, k + 3u)));
}

// Rows k .. k + 3 and columns column .. column + 3 of B.
fn block_of_b(origin: Source, k: u32, column: u32) -> Block {
  if (B_ALONG_N) {
    let at = origin.first + min(column, params.n - 1u) / 4u;
    return Block(line_of_b(origin.buffer, at, k), line_of_b(origin.buffer, at, k + 1u), line_of_b(origin.buffer, at, k + 2u), line_of_b(origin.buffer, at, k + 3u));
  }
  let at = vec4(origin.first + k / 4u) + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)) * params.b.pitch;
  return transpose(Block(quad_of_b(origin.buffer, at.x), quad_of_b(origin.buffer, at.y), quad_of_b(origin.buffer, at.z), quad_of_b(origin.buffer, at.w)));
}

fn strip_of_a(origin: Source, row: u32, k: u32) -> Strip {
  var x: Strip;
  x.r0 = block_of_a(origin, row, k);
  x.r1 = block_of_a(origin, row + 4u, k);
  x.r2 = block_of_a(origin, row + 8u, k);
  x.r3 = block_of_a(origin, row + 12u, k);
  if (TALL) {
    x.r4 = block_of_a(origin, row + 16u, k);
    x.r5 = block_of_a(origin, row + 20u, k);
    x.r6 = block_of_a(origin, row + 24u, k);
    x.r7 = block_of_a(origin, row + 28u, k);
  }
  return x;
}

fn accumulate(sum: ptr<function, Strip>, x: Strip, y: Block) {
  (*sum).r0 += y * x.r0;
  (*sum).r1 += y * x.r1;
  (*sum).r2 += y * x.r2;
  (*sum).r3 += y * x.r3;
  if (TALL) {
    (*sum).r4 += y * x.r4;
    (*sum).r5 += y * x.r5;
    (*sum).r6 += y * x.r6;
    (*sum).r7 += y * x.r7;
  }
}

// Where a strip lies in an output.
struct Place {
  output: u32,
  batch: u32,
  row: u32,
  column: u32,
}

// Blocks and rows move up in loops whose ends a compiler cannot know: what is stored, and computed with it, is compiled once.
fn store_block(block: Block, at: Place) {
  var moving = block;
  for (var row = at.row; row < min(at.row + 4u, params.m); row++) {
    store(at.output, ((at.batch * params.m + row) * params.n + at.column) / 4u, moving[0]);
    moving = Block(moving[1], moving[2], moving[3], moving[3]);
  }
}

fn store_strip(strip: Strip, at: Place) {
  var moving = strip;
  let end = min(at.row + select(16u, 32u, TALL), params.m);
  for (var row = at.row; row < end; row += 4u) {
    store_block(moving.r0, Place(at.output, at.batch, row, at.column));
    moving = Strip(moving.r1, moving.r2, moving.r3, moving.r4, moving.r5, moving.r6, moving.r7, moving.r7);
  }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let rows = select(16u, 32u, TALL);
  let columns = select(16u, 32u, WIDE);
  let tiles_along_n = (params.n + columns - 1u) / columns;
  let tiles = (params.m + rows - 1u) / rows * tiles_along_n;
  let tile = (group.y * groups.x + group.x) * LANES + lane;
  let batches = params.batch.x * params.batch.y * params.batch.z;
  let output = tile / tiles / batches;
  if (output >= params.outputs) {
    return;
  }
  let batch = tile / tiles % batches;
  let row = tile % tiles / tiles_along_n * rows;
  let column = tile % tiles_along_n * columns;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);

  var c0: Strip;
  var c1: Strip;
  var c2: Strip;
  var c3: Strip;
  var c4: Strip;
  var c5: Strip;
  var c6: Strip;
  var c7: Strip;
  for (var term = 0u; term < params.terms; term++) {
    let part = params.parts[output * params.terms + term];
    let origin_a = source(params.a, part.x, part.y, place);
    let origin_b = source(params.b, part.z, part.w, place);
    for (var k = 0u; k < params.k; k += 4u) {
      let x = strip_of_a(origin_a, row, k);
      accumulate(&c0, x, block_of_b(origin_b, k, column));
      accumulate(&c1, x, block_of_b(origin_b, k, column + 4u));
      accumulate(&c2, x, block_of_b(origin_b, k, column + 8u));
      accumulate(&c3, x, block_of_b(origin_b, k, column + 12u));
      if (WIDE) {
        accumulate(&c4, x, block_of_b(origin_b, k, column + 16u));
        accumulate(&c5, x, block_of_b(origin_b, k, column + 20u));
        accumulate(&c6, x, block_of_b(origin_b, k, column + 24u));
        accumulate(&c7, x, block_of_b(origin_b, k, column + 28u));
      }
    }
  }
  for (var at = column; at < min(column + columns, params.n); at += 4u) {
    store_strip(c0, Place(output, batch, row, at));
    c0 = c1;
    c1 = c2;
    c2 = c3;
    c3 = c4;
    c4 = c5;
    c5 = c6;
    c6 = c7;
  }
}
`,
  reduce: `// Each output combines LENGTH elements; PARTS invocations share one output's elements and each writes a partial result, which a second
// dispatch combines. The compiler replaces the marked lines: bindings, the element at position r of output o, the way to combine, and
// what follows the loop. As stored, the shader sums positions.

const COUNT: u32 = 1u; const LENGTH: u32 = 1u; const PARTS: u32 = 1u; const CHUNK: u32 = 1u; //: constants
@group(0) @binding(0) var<storage, read_write> out0: array<f32>; //: bindings

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= COUNT * PARTS) {
    return;
  }
  let o = i % COUNT;
  let first = (i / COUNT) * CHUNK;
  let last = min(first + CHUNK, LENGTH);
  var accumulated = 0.0f; //: identity
  for (var r = first; r < last; r++) {
    accumulated = accumulated + f32(r); //: combine
  }
  out0[i] = accumulated; //: store
}
`,
  reduce_shared: `// Each output combines LENGTH elements, which MEMBERS invocations of a workgroup share: each combines its own, in steps of MEMBERS, then
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
`,
  rows: `// MEMBERS invocations of a workgroup go over a row together: they reduce it, perhaps several times, and compute its elements from what
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
`,
  scatter_add: `// output[v, d] = sum over i with indices[i] = v of updates[i, d]
// One invocation owns SPAN neighbouring elements of one row of the output and looks through all indices in order, so that the sum does
// not depend on timing. Work is tokens x rows x width / SPAN comparisons, four at a time: meant for small tables.

struct Params {
  tokens: u32, // length of indices, and rows of updates
  rows: u32,   // rows of the output
  width: u32,  // elements of a row
}

@group(0) @binding(0) var<storage, read> updates: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<vec4<u32>>; // by fours, the last of which need not all be there
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const SPAN: u32 = 16u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let spans = (params.width + SPAN - 1u) / SPAN;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * spans) {
    return;
  }
  let row = i / spans;
  let first = (i % spans) * SPAN;
  let last = params.width - 1u;
  var total: array<f32, SPAN>;
  for (var four = 0u; 4u * four < params.tokens; four++) {
    let tokens = 4u * four + vec4<u32>(0u, 1u, 2u, 3u);
    let matches = (indices[four] == vec4<u32>(row)) & (tokens < vec4<u32>(params.tokens));
    // a loop, as software drivers jump over loops alone
    for (var left = dot(vec4<u32>(matches), vec4<u32>(1u, 2u, 4u, 8u)); left != 0u; left &= left - 1u) {
      let start = (4u * four + firstTrailingBit(left)) * params.width;
      // unrolled: columns beyond the row are read from its last element, and never stored
      total[0] += updates[start + min(first, last)];
      total[1] += updates[start + min(first + 1u, last)];
      total[2] += updates[start + min(first + 2u, last)];
      total[3] += updates[start + min(first + 3u, last)];
      total[4] += updates[start + min(first + 4u, last)];
      total[5] += updates[start + min(first + 5u, last)];
      total[6] += updates[start + min(first + 6u, last)];
      total[7] += updates[start + min(first + 7u, last)];
      total[8] += updates[start + min(first + 8u, last)];
      total[9] += updates[start + min(first + 9u, last)];
      total[10] += updates[start + min(first + 10u, last)];
      total[11] += updates[start + min(first + 11u, last)];
      total[12] += updates[start + min(first + 12u, last)];
      total[13] += updates[start + min(first + 13u, last)];
      total[14] += updates[start + min(first + 14u, last)];
      total[15] += updates[start + min(first + 15u, last)];
    }
  }
  for (var d = 0u; d < min(SPAN, params.width - first); d++) {
    output[row * params.width + first + d] = total[d];
  }
}
`,
  ternary_matmul: `// Product with packed ternary weights: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] * code[n, k].
//
// Codes are two bits in two's complement, sixteen to a word. Four words side by side hold 8 rows by 8 columns: word i has row i in
// its lower half and row i + 4 in its upper half, the columns from the lowest bits on. A panel is 64 rows: eight such blocks, one for
// each of eight neighbouring invocations, lie side by side, then come the next 8 columns. Scales lie the same way, eight for a block.
//
// An invocation computes 8 rows of each of PANELS panels for TOKENS rows of X; SLICES of them share the columns, a span at a time,
// and add their sums. Loops that run at least once end at their bottom: where a loop ends in the
// middle for eight invocations at a time, the rest of its body runs once more for none.

// Whether X is stored in half precision.
override HALVES: bool = false;
// Whether rows of X are divided by the root of the mean of their squares, and multiplied by the weight of a norm.
override NORMED: bool = false;

// What codes are read as their doubles must be multiplied by.
const UNIT = 0.5;
// Quads of rows in a block.
const QUADS = 2u;

// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Panels that one invocation takes: 1, 2, or 4 where it takes one row of X.
override PANELS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

// Blocks of a panel, each for one of as many neighbouring invocations.
const LANES = 8u;
// Rows of a panel; a block has QUADS times four.
const PANEL_ROWS = LANES * QUADS * 4u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Columns of Y.
  rows: u32,
  // Columns of X, in eights.
  eights: u32,
  // Columns that share a scale, in eights.
  group: u32,
  // Columns that a slice takes at a time, in eights: a divisor of the group, all of it where nobody shares columns.
  span: u32,
  // What is added to the mean of the squares of a row of X, where it is normalised.
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(4) var<uniform> params: Params; //: params

// Sums of the other slices: for each slice and lane what an invocation has summed.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * PANELS * QUADS>;

fn load_x(at: u32) -> Words {
  return x[at]; //: load
}

fn load_codes(at: u32) -> Words {
  return codes[at]; //: load
}

fn load_scales(at: u32) -> Quad {
  return scales[at]; //: load
}

// What an invocation works on.
struct Place {
  // First panel.
  panel: u32,
  // First row of X.
  token: u32,
  // Which block of a panel.
  lane: u32,
  // Which share of the columns.
  slice: u32,
}

fn token_tiles() -> u32 {
  return (params.tokens + TOKENS - 1u) / TOKENS;
}

fn place_of(tile: u32, member: u32) -> Place {
  return Place(tile / token_tiles() * PANELS, tile % token_tiles() * TOKENS, member % LANES, member / LANES);
}

// Whether a workgroup has nothing to do: the same for all of its invocations, which must meet at barriers.
fn is_outside(tile: u32) -> bool {
  return tile / token_tiles() * PANELS * PANEL_ROWS >= params.rows;
}

// What an invocation has summed: for panel p and row t of X the rows of a block, in quads from (p * TOKENS + t) * QUADS on.
alias Sums = array<Quad, 8u * QUADS>;

// A panel of an invocation; the last one in place of those beyond it.
fn panel_at(place: Place, index: u32) -> u32 {
  return min(place.panel + index, (params.rows - 1u) / PANEL_ROWS);
}

// Scales of the rows of a block: the first QUADS.
alias Scales = array<Quad, 5>;

fn scales_of(place: Place, index: u32, group: u32) -> Scales {
  let at = ((panel_at(place, index) * (params.eights / params.group) + group) * LANES + place.lane) * QUADS;
  var scales: Scales;
  scales[0] = UNIT * load_scales(at);
  scales[1] = UNIT * load_scales(at + 1u);
  if (QUADS > 2u) {
    scales[2] = UNIT * load_scales(at + 2u);
    scales[3] = UNIT * load_scales(at + 3u);
    scales[4] = UNIT * load_scales(at + 4u);
  }
  return scales;
}

// Adds the sums over a span of one row of X and one panel.
fn collect(total: ptr<function, Sums>, sums: Sums, column: u32, scales: Scales) {
  let first = column * QUADS;
  (*total)[first] += sums[first] * scales[0];
  (*total)[first + 1u] += sums[first + 1u] * scales[1];
  if (QUADS > 2u) {
    (*total)[first + 2u] += sums[first + 2u] * scales[2];
    (*total)[first + 3u] += sums[first + 3u] * scales[3];
    (*total)[first + 4u] += sums[first + 4u] * scales[4];
  }
}

// The group that has a span.
fn group_of(span: u32) -> u32 {
  return select(span * params.span / params.group, span, SLICES == 1u);
}

// Adds all sums over a span.
fn collect_all(total: ptr<function, Sums>, sums: Sums, place: Place, group: u32) {
  let first = scales_of(place, 0u, group);
  collect(total, sums, 0u, first);
  if (TOKENS > 1u) {
    collect(total, sums, 1u, first);
    collect(total, sums, 2u, first);
    collect(total, sums, 3u, first);
  }
  if (PANELS > 1u) {
    let second = scales_of(place, 1u, group);
    collect(total, sums, TOKENS, second);
    if (TOKENS > 1u) {
      collect(total, sums, 5u, second);
      collect(total, sums, 6u, second);
      collect(total, sums, 7u, second);
    } else if (PANELS > 2u) {
      collect(total, sums, 2u, scales_of(place, 2u, group));
      collect(total, sums, 3u, scales_of(place, 3u, group));
    }
  }
}

// Adds the sums of all slices and stores them.
fn finish(sums: Sums, place: Place) {
  var total = sums;
  let quads = TOKENS * PANELS * QUADS;
  if (SLICES > 1u) {
    let member = place.slice * LANES + place.lane;
    for (var q = 0u; q < quads; q++) {
      partial[member * quads + q] = total[q];
    }
    workgroupBarrier();
    if (place.slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var q = 0u; q < quads; q++) {
        total[q] += partial[(other * LANES + place.lane) * quads + q];
      }
    }
  }
  for (var q = 0u; q < quads; q++) {
    let column = q / QUADS;
    let token = place.token + column % TOKENS;
    let row = (place.panel + column / TOKENS) * PANEL_ROWS + (place.lane * QUADS + q % QUADS) * 4u;
    for (var i = 0u; i < 4u; i++) {
      if (token < params.tokens && row + i < params.rows) {
        let at = token * params.rows + row + i;
        let value = total[q][i];
        out[at] = value; //: store
      }
    }
  }
}
// The weight of the norm, by four columns.
fn load_norm(at: u32) -> Quad {
  return Quad(1.0); //: norm
}

// Four columns of a row of X, times the weight of the norm; notes their squares.
fn normed(squares: ptr<function, Quad>, index: u32, four: u32, x: Quad) -> Quad {
  if (NORMED) {
    (*squares)[index] += dot(x, x);
    return x * load_norm(four);
  }
  return x;
}

// Divides the sums of each row of X by the root of the mean of its squares, of which each slice has some.
fn divide(sums: ptr<function, Sums>, squares: Quad, place: Place) {
  if (NORMED) {
    if (place.lane == 0u) {
      partial[place.slice] = squares;
    }
    workgroupBarrier();
    var total = Quad();
    for (var slice = 0u; slice < SLICES; slice++) {
      total += partial[slice];
    }
    workgroupBarrier();
    let scales = inverseSqrt(total / Element(params.eights * 8u) + params.epsilon);
    for (var q = 0u; q < TOKENS * PANELS * QUADS; q++) {
      (*sums)[q] *= scales[q / QUADS % TOKENS];
    }
  }
}

// The codes that a panel has of eight columns.
fn codes_of(place: Place, index: u32, eight: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights + eight) * LANES + place.lane);
}

fn halves_of(words: vec2<u32>) -> Quad {
  return Quad(unpack2x16float(words.x), unpack2x16float(words.y));
}

// Eight columns of a row of X.
struct Eight {
  first: Quad,
  second: Quad,
}

fn eight_of_x(squares: ptr<function, Quad>, place: Place, index: u32, eight: u32) -> Eight {
  let at = min(place.token + index, params.tokens - 1u) * params.eights + eight;
  if (HALVES) {
    let halves = load_x(at);
    return Eight(halves_of(halves.xy), halves_of(halves.zw));
  }
  let first = bitcast<Quad>(load_x(at * 2u));
  let second = bitcast<Quad>(load_x(at * 2u + 1u));
  return Eight(normed(squares, index, eight * 2u, first), normed(squares, index, eight * 2u + 1u, second));
}

// Twice the codes that a shift to the left brings to the top, where 00, 01 and 11 are the floats 0, 2 and -2.
fn codes_at(words: Words, shift: u32) -> Quad {
  return bitcast<Quad>((words << Words(shift)) & Words(0xc0000000u));
}

fn add(sums: ptr<function, Sums>, column: u32, words: Words, x: Eight) {
  (*sums)[column * 2u] += codes_at(words, 30u) * x.first.x + codes_at(words, 28u) * x.first.y +
    codes_at(words, 26u) * x.first.z + codes_at(words, 24u) * x.first.w +
    codes_at(words, 22u) * x.second.x + codes_at(words, 20u) * x.second.y +
    codes_at(words, 18u) * x.second.z + codes_at(words, 16u) * x.second.w;
  (*sums)[column * 2u + 1u] += codes_at(words, 14u) * x.first.x + codes_at(words, 12u) * x.first.y +
    codes_at(words, 10u) * x.first.z + codes_at(words, 8u) * x.first.w +
    codes_at(words, 6u) * x.second.x + codes_at(words, 4u) * x.second.y +
    codes_at(words, 2u) * x.second.z + codes_at(words, 0u) * x.second.w;
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (is_outside(tile)) {
    return;
  }
  let place = place_of(tile, member);
  var total = Sums();
  var squares = Quad();
  let spans = params.eights / params.span;
  var span = place.slice;
  if (span < spans) {
    loop {
      var sums = Sums();
      var eight = span * params.span;
      let end = eight + params.span;
      loop {
        let words = codes_of(place, 0u, eight);
        let x = eight_of_x(&squares, place, 0u, eight);
        add(&sums, 0u, words, x);
        if (TOKENS > 1u) {
          let x1 = eight_of_x(&squares, place, 1u, eight);
          let x2 = eight_of_x(&squares, place, 2u, eight);
          let x3 = eight_of_x(&squares, place, 3u, eight);
          add(&sums, 1u, words, x1);
          add(&sums, 2u, words, x2);
          add(&sums, 3u, words, x3);
          if (PANELS > 1u) {
            let others = codes_of(place, 1u, eight);
            add(&sums, 4u, others, x);
            add(&sums, 5u, others, x1);
            add(&sums, 6u, others, x2);
            add(&sums, 7u, others, x3);
          }
        } else if (PANELS > 1u) {
          add(&sums, 1u, codes_of(place, 1u, eight), x);
          if (PANELS > 2u) {
            add(&sums, 2u, codes_of(place, 2u, eight), x);
            add(&sums, 3u, codes_of(place, 3u, eight), x);
          }
        }
        eight++;
        if (eight >= end) {
          break;
        }
      }
      collect_all(&total, sums, place, group_of(span));
      span += SLICES;
      if (span >= spans) {
        break;
      }
    }
  }
  divide(&total, squares, place);
  finish(total, place);
}
`,
  ternary_matmul_dense: `// Product with densely packed ternary weights, five to a byte: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of
// X[t, k] * code[n, k].
//
// A byte b holds codes of five rows as a fraction b / 256 in base three: three times b has the first digit, a code plus one, above its
// lowest eight bits, and the rest of the fraction in them. Four words side by side hold 20 rows by 4 columns: byte c of word i is of
// column c and of the rows i, i + 4, i + 8, i + 12 and i + 16. A panel is 160 rows: eight such blocks, one for each of eight neighbouring
// invocations, lie side by side, then come the next 4 columns. Scales lie the same way, twenty for a block.
//
// An invocation computes 20 rows of each of PANELS panels for TOKENS rows of X; SLICES of them share the columns, a span at a
// time, and add their sums. Loops that run at least once end at their bottom: see ternary_matmul.wgsl.

// Whether X is stored in half precision.
override HALVES: bool = false;
// Whether rows of X are divided by the root of the mean of their squares, and multiplied by the weight of a norm.
override NORMED: bool = false;

const UNIT = 1.0;
// Quads of rows in a block.
const QUADS = 5u;

// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Panels that one invocation takes: 1, 2, or 4 where it takes one row of X.
override PANELS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

// Blocks of a panel, each for one of as many neighbouring invocations.
const LANES = 8u;
// Rows of a panel; a block has QUADS times four.
const PANEL_ROWS = LANES * QUADS * 4u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Columns of Y.
  rows: u32,
  // Columns of X, in eights.
  eights: u32,
  // Columns that share a scale, in eights.
  group: u32,
  // Columns that a slice takes at a time, in eights: a divisor of the group, all of it where nobody shares columns.
  span: u32,
  // What is added to the mean of the squares of a row of X, where it is normalised.
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(4) var<uniform> params: Params; //: params

// Sums of the other slices: for each slice and lane what an invocation has summed.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * PANELS * QUADS>;

fn load_x(at: u32) -> Words {
  return x[at]; //: load
}

fn load_codes(at: u32) -> Words {
  return codes[at]; //: load
}

fn load_scales(at: u32) -> Quad {
  return scales[at]; //: load
}

// What an invocation works on.
struct Place {
  // First panel.
  panel: u32,
  // First row of X.
  token: u32,
  // Which block of a panel.
  lane: u32,
  // Which share of the columns.
  slice: u32,
}

fn token_tiles() -> u32 {
  return (params.tokens + TOKENS - 1u) / TOKENS;
}

fn place_of(tile: u32, member: u32) -> Place {
  return Place(tile / token_tiles() * PANELS, tile % token_tiles() * TOKENS, member % LANES, member / LANES);
}

// Whether a workgroup has nothing to do: the same for all of its invocations, which must meet at barriers.
fn is_outside(tile: u32) -> bool {
  return tile / token_tiles() * PANELS * PANEL_ROWS >= params.rows;
}

// What an invocation has summed: for panel p and row t of X the rows of a block, in quads from (p * TOKENS + t) * QUADS on.
alias Sums = array<Quad, 8u * QUADS>;

// A panel of an invocation; the last one in place of those beyond it.
fn panel_at(place: Place, index: u32) -> u32 {
  return min(place.panel + index, (params.rows - 1u) / PANEL_ROWS);
}

// Scales of the rows of a block: the first QUADS.
alias Scales = array<Quad, 5>;

fn scales_of(place: Place, index: u32, group: u32) -> Scales {
  let at = ((panel_at(place, index) * (params.eights / params.group) + group) * LANES + place.lane) * QUADS;
  var scales: Scales;
  scales[0] = UNIT * load_scales(at);
  scales[1] = UNIT * load_scales(at + 1u);
  if (QUADS > 2u) {
    scales[2] = UNIT * load_scales(at + 2u);
    scales[3] = UNIT * load_scales(at + 3u);
    scales[4] = UNIT * load_scales(at + 4u);
  }
  return scales;
}

// Adds the sums over a span of one row of X and one panel.
fn collect(total: ptr<function, Sums>, sums: Sums, column: u32, scales: Scales) {
  let first = column * QUADS;
  (*total)[first] += sums[first] * scales[0];
  (*total)[first + 1u] += sums[first + 1u] * scales[1];
  if (QUADS > 2u) {
    (*total)[first + 2u] += sums[first + 2u] * scales[2];
    (*total)[first + 3u] += sums[first + 3u] * scales[3];
    (*total)[first + 4u] += sums[first + 4u] * scales[4];
  }
}

// The group that has a span.
fn group_of(span: u32) -> u32 {
  return select(span * params.span / params.group, span, SLICES == 1u);
}

// Adds all sums over a span.
fn collect_all(total: ptr<function, Sums>, sums: Sums, place: Place, group: u32) {
  let first = scales_of(place, 0u, group);
  collect(total, sums, 0u, first);
  if (TOKENS > 1u) {
    collect(total, sums, 1u, first);
    collect(total, sums, 2u, first);
    collect(total, sums, 3u, first);
  }
  if (PANELS > 1u) {
    let second = scales_of(place, 1u, group);
    collect(total, sums, TOKENS, second);
    if (TOKENS > 1u) {
      collect(total, sums, 5u, second);
      collect(total, sums, 6u, second);
      collect(total, sums, 7u, second);
    } else if (PANELS > 2u) {
      collect(total, sums, 2u, scales_of(place, 2u, group));
      collect(total, sums, 3u, scales_of(place, 3u, group));
    }
  }
}

// Adds the sums of all slices and stores them.
fn finish(sums: Sums, place: Place) {
  var total = sums;
  let quads = TOKENS * PANELS * QUADS;
  if (SLICES > 1u) {
    let member = place.slice * LANES + place.lane;
    for (var q = 0u; q < quads; q++) {
      partial[member * quads + q] = total[q];
    }
    workgroupBarrier();
    if (place.slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var q = 0u; q < quads; q++) {
        total[q] += partial[(other * LANES + place.lane) * quads + q];
      }
    }
  }
  for (var q = 0u; q < quads; q++) {
    let column = q / QUADS;
    let token = place.token + column % TOKENS;
    let row = (place.panel + column / TOKENS) * PANEL_ROWS + (place.lane * QUADS + q % QUADS) * 4u;
    for (var i = 0u; i < 4u; i++) {
      if (token < params.tokens && row + i < params.rows) {
        let at = token * params.rows + row + i;
        let value = total[q][i];
        out[at] = value; //: store
      }
    }
  }
}
// The weight of the norm, by four columns.
fn load_norm(at: u32) -> Quad {
  return Quad(1.0); //: norm
}

// Four columns of a row of X, times the weight of the norm; notes their squares.
fn normed(squares: ptr<function, Quad>, index: u32, four: u32, x: Quad) -> Quad {
  if (NORMED) {
    (*squares)[index] += dot(x, x);
    return x * load_norm(four);
  }
  return x;
}

// Divides the sums of each row of X by the root of the mean of its squares, of which each slice has some.
fn divide(sums: ptr<function, Sums>, squares: Quad, place: Place) {
  if (NORMED) {
    if (place.lane == 0u) {
      partial[place.slice] = squares;
    }
    workgroupBarrier();
    var total = Quad();
    for (var slice = 0u; slice < SLICES; slice++) {
      total += partial[slice];
    }
    workgroupBarrier();
    let scales = inverseSqrt(total / Element(params.eights * 8u) + params.epsilon);
    for (var q = 0u; q < TOKENS * PANELS * QUADS; q++) {
      (*sums)[q] *= scales[q / QUADS % TOKENS];
    }
  }
}

// The codes that a panel has of four columns.
fn codes_of(place: Place, index: u32, four: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights * 2u + four) * LANES + place.lane);
}

fn four_of_x(squares: ptr<function, Quad>, place: Place, index: u32, four: u32) -> Quad {
  let at = min(place.token + index, params.tokens - 1u) * params.eights * 2u + four;
  if (HALVES) {
    let eight = load_x(at / 2u);
    let halves = select(eight.xy, eight.zw, vec2(at % 2u == 1u));
    return Quad(unpack2x16float(halves.x), unpack2x16float(halves.y));
  }
  return normed(squares, index, four, bitcast<Quad>(load_x(at)));
}

// Digits as they lie in words, two columns in each: multiplied by 2^8 in the lower half and 2^24 in the upper half.
fn lower(thrice: Words) -> Quad {
  return Quad(bitcast<vec4<i32>>(thrice & Words(0x300u)));
}

fn upper(thrice: Words) -> Quad {
  return Quad(bitcast<vec4<i32>>(thrice & Words(0x03000000u)));
}

// What is added for four rows: digits of columns 0 and 2, then of columns 1 and 3, times X divided by what they are multiplied by.
fn products(even: Words, odd: Words, x: Quad) -> Quad {
  return lower(even) * x.x + upper(even) * x.z + lower(odd) * x.y + upper(odd) * x.w;
}

// The rest of the fractions.
fn rest(thrice: Words) -> Words {
  return thrice & Words(0x00ff00ffu);
}

fn thrice(fractions: Words) -> Words {
  return (fractions << Words(1u)) + fractions;
}

fn add(sums: ptr<function, Sums>, column: u32, words: Words, x: Quad) {
  let shifted = x * Quad(0x1p-8, 0x1p-8, 0x1p-24, 0x1p-24);
  let even0 = thrice(rest(words));
  let odd0 = thrice(rest(words >> Words(8u)));
  let even1 = thrice(rest(even0));
  let odd1 = thrice(rest(odd0));
  let even2 = thrice(rest(even1));
  let odd2 = thrice(rest(odd1));
  let even3 = thrice(rest(even2));
  let odd3 = thrice(rest(odd2));
  (*sums)[column * 5u] += products(even0, odd0, shifted);
  (*sums)[column * 5u + 1u] += products(even1, odd1, shifted);
  (*sums)[column * 5u + 2u] += products(even2, odd2, shifted);
  (*sums)[column * 5u + 3u] += products(even3, odd3, shifted);
  (*sums)[column * 5u + 4u] += products(thrice(rest(even3)), thrice(rest(odd3)), shifted);
}

// Takes away what the ones added to codes have contributed: the sum of X.
fn correct(sums: ptr<function, Sums>, column: u32, x: Quad) {
  let excess = Quad(dot(x, Quad(1.0)));
  (*sums)[column * 5u] -= excess;
  (*sums)[column * 5u + 1u] -= excess;
  (*sums)[column * 5u + 2u] -= excess;
  (*sums)[column * 5u + 3u] -= excess;
  (*sums)[column * 5u + 4u] -= excess;
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (is_outside(tile)) {
    return;
  }
  let place = place_of(tile, member);
  var total = Sums();
  var squares = Quad();
  let spans = params.eights / params.span;
  var span = place.slice;
  if (span < spans) {
    loop {
      var sums = Sums();
      var excess = mat4x4<Element>();
      var four = span * params.span * 2u;
      let end = four + params.span * 2u;
      loop {
        let words = codes_of(place, 0u, four);
        let x = four_of_x(&squares, place, 0u, four);
        add(&sums, 0u, words, x);
        excess[0] += x;
        if (TOKENS > 1u) {
          let x1 = four_of_x(&squares, place, 1u, four);
          let x2 = four_of_x(&squares, place, 2u, four);
          let x3 = four_of_x(&squares, place, 3u, four);
          add(&sums, 1u, words, x1);
          add(&sums, 2u, words, x2);
          add(&sums, 3u, words, x3);
          excess[1] += x1;
          excess[2] += x2;
          excess[3] += x3;
        } else if (PANELS > 1u) {
          add(&sums, 1u, codes_of(place, 1u, four), x);
        }
        four++;
        if (four >= end) {
          break;
        }
      }
      correct(&sums, 0u, excess[0]);
      if (TOKENS > 1u) {
        correct(&sums, 1u, excess[1]);
        correct(&sums, 2u, excess[2]);
        correct(&sums, 3u, excess[3]);
      } else if (PANELS > 1u) {
        correct(&sums, 1u, excess[0]);
      }
      collect_all(&total, sums, place, group_of(span));
      span += SLICES;
      if (span >= spans) {
        break;
      }
    }
  }
  divide(&total, squares, place);
  finish(total, place);
}
`,
  ternary_matmul_int8: `// Product with packed ternary weights in whole numbers: Y[t, n] = sum over groups g of scale[n, g] * sum over k in g of X[t, k] *
// code[n, k], where X is bytes in two's complement, none below -127: of sixteen columns, byte b of word j is column 4 b + j.
//
// Weights lie as in ternary_matmul.wgsl. One multiplication serves two rows: the halves of a word, moved to the lowest bits of each,
// are codes plus 2, from 1 to 3. Over RUN columns their products with bytes stay below 2^15 in magnitude, so that sums never leave
// their half; twice the sum of the bytes is taken away in the end.

const UNIT = 1.0;
// Quads of rows in a block.
const QUADS = 2u;

// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Panels that one invocation takes: 1, 2, or 4 where it takes one row of X.
override PANELS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

// Blocks of a panel, each for one of as many neighbouring invocations.
const LANES = 8u;
// Rows of a panel; a block has QUADS times four.
const PANEL_ROWS = LANES * QUADS * 4u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Columns of Y.
  rows: u32,
  // Columns of X, in eights.
  eights: u32,
  // Columns that share a scale, in eights.
  group: u32,
  // Columns that a slice takes at a time, in eights: a divisor of the group, all of it where nobody shares columns.
  span: u32,
  // What is added to the mean of the squares of a row of X, where it is normalised.
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(4) var<uniform> params: Params; //: params

// Sums of the other slices: for each slice and lane what an invocation has summed.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * PANELS * QUADS>;

fn load_x(at: u32) -> Words {
  return x[at]; //: load
}

fn load_codes(at: u32) -> Words {
  return codes[at]; //: load
}

fn load_scales(at: u32) -> Quad {
  return scales[at]; //: load
}

// What an invocation works on.
struct Place {
  // First panel.
  panel: u32,
  // First row of X.
  token: u32,
  // Which block of a panel.
  lane: u32,
  // Which share of the columns.
  slice: u32,
}

fn token_tiles() -> u32 {
  return (params.tokens + TOKENS - 1u) / TOKENS;
}

fn place_of(tile: u32, member: u32) -> Place {
  return Place(tile / token_tiles() * PANELS, tile % token_tiles() * TOKENS, member % LANES, member / LANES);
}

// Whether a workgroup has nothing to do: the same for all of its invocations, which must meet at barriers.
fn is_outside(tile: u32) -> bool {
  return tile / token_tiles() * PANELS * PANEL_ROWS >= params.rows;
}

// What an invocation has summed: for panel p and row t of X the rows of a block, in quads from (p * TOKENS + t) * QUADS on.
alias Sums = array<Quad, 8u * QUADS>;

// A panel of an invocation; the last one in place of those beyond it.
fn panel_at(place: Place, index: u32) -> u32 {
  return min(place.panel + index, (params.rows - 1u) / PANEL_ROWS);
}

// Scales of the rows of a block: the first QUADS.
alias Scales = array<Quad, 5>;

fn scales_of(place: Place, index: u32, group: u32) -> Scales {
  let at = ((panel_at(place, index) * (params.eights / params.group) + group) * LANES + place.lane) * QUADS;
  var scales: Scales;
  scales[0] = UNIT * load_scales(at);
  scales[1] = UNIT * load_scales(at + 1u);
  if (QUADS > 2u) {
    scales[2] = UNIT * load_scales(at + 2u);
    scales[3] = UNIT * load_scales(at + 3u);
    scales[4] = UNIT * load_scales(at + 4u);
  }
  return scales;
}

// Adds the sums over a span of one row of X and one panel.
fn collect(total: ptr<function, Sums>, sums: Sums, column: u32, scales: Scales) {
  let first = column * QUADS;
  (*total)[first] += sums[first] * scales[0];
  (*total)[first + 1u] += sums[first + 1u] * scales[1];
  if (QUADS > 2u) {
    (*total)[first + 2u] += sums[first + 2u] * scales[2];
    (*total)[first + 3u] += sums[first + 3u] * scales[3];
    (*total)[first + 4u] += sums[first + 4u] * scales[4];
  }
}

// The group that has a span.
fn group_of(span: u32) -> u32 {
  return select(span * params.span / params.group, span, SLICES == 1u);
}

// Adds all sums over a span.
fn collect_all(total: ptr<function, Sums>, sums: Sums, place: Place, group: u32) {
  let first = scales_of(place, 0u, group);
  collect(total, sums, 0u, first);
  if (TOKENS > 1u) {
    collect(total, sums, 1u, first);
    collect(total, sums, 2u, first);
    collect(total, sums, 3u, first);
  }
  if (PANELS > 1u) {
    let second = scales_of(place, 1u, group);
    collect(total, sums, TOKENS, second);
    if (TOKENS > 1u) {
      collect(total, sums, 5u, second);
      collect(total, sums, 6u, second);
      collect(total, sums, 7u, second);
    } else if (PANELS > 2u) {
      collect(total, sums, 2u, scales_of(place, 2u, group));
      collect(total, sums, 3u, scales_of(place, 3u, group));
    }
  }
}

// Adds the sums of all slices and stores them.
fn finish(sums: Sums, place: Place) {
  var total = sums;
  let quads = TOKENS * PANELS * QUADS;
  if (SLICES > 1u) {
    let member = place.slice * LANES + place.lane;
    for (var q = 0u; q < quads; q++) {
      partial[member * quads + q] = total[q];
    }
    workgroupBarrier();
    if (place.slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var q = 0u; q < quads; q++) {
        total[q] += partial[(other * LANES + place.lane) * quads + q];
      }
    }
  }
  for (var q = 0u; q < quads; q++) {
    let column = q / QUADS;
    let token = place.token + column % TOKENS;
    let row = (place.panel + column / TOKENS) * PANEL_ROWS + (place.lane * QUADS + q % QUADS) * 4u;
    for (var i = 0u; i < 4u; i++) {
      if (token < params.tokens && row + i < params.rows) {
        let at = token * params.rows + row + i;
        let value = total[q][i];
        out[at] = value; //: store
      }
    }
  }
}

// Columns, in eights, between two extractions: 64 * 3 * 127 < 2^15.
const RUN = 8u;

alias Whole = vec4<i32>;

// The codes that a panel has of eight columns.
fn codes_of(place: Place, index: u32, eight: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights + eight) * LANES + place.lane);
}

// Eight columns of a row of X.
struct Eight {
  first: Whole,
  second: Whole,
}

fn eight_of_x(token: u32, eight: u32) -> Eight {
  let sixteen = load_x(min(token, params.tokens - 1u) * ((params.eights + 1u) / 2u) + eight / 2u);
  let bytes = sixteen << Words(select(16u, 0u, eight % 2u == 1u));
  return Eight(bitcast<Whole>(bytes << Words(8u)) >> Words(24u), bitcast<Whole>(bytes) >> Words(24u));
}

// Codes plus 2 of a column, for rows i in the lower and i + 4 in the upper half.
fn codes_at(words: Words, shift: u32) -> Whole {
  return bitcast<Whole>((words >> Words(shift)) & Words(0x00030003u));
}

// Sums over a run of columns of pairs of products, by column, and of the bytes, by row of X.
struct Run {
  pairs: array<Whole, 8>,
  bytes: array<Whole, 4>,
}

fn add(run: ptr<function, Run>, column: u32, words: Words, x: Eight) {
  let flipped = words ^ Words(0xaaaaaaaau);
  (*run).pairs[column] += codes_at(flipped, 0u) * x.first.x + codes_at(flipped, 2u) * x.first.y +
    codes_at(flipped, 4u) * x.first.z + codes_at(flipped, 6u) * x.first.w +
    codes_at(flipped, 8u) * x.second.x + codes_at(flipped, 10u) * x.second.y +
    codes_at(flipped, 12u) * x.second.z + codes_at(flipped, 14u) * x.second.w;
  if (column < TOKENS) {
    (*run).bytes[column] += x.first + x.second;
  }
}

fn extract(sums: ptr<function, Sums>, column: u32, run: Run) {
  let bytes = run.bytes[column % TOKENS];
  let twice = Whole(2 * (bytes.x + bytes.y + bytes.z + bytes.w));
  let pairs = run.pairs[column];
  let lower = (pairs << Words(16u)) >> Words(16u);
  (*sums)[column * 2u] += Quad(lower - twice);
  (*sums)[column * 2u + 1u] += Quad(((pairs - lower) >> Words(16u)) - twice);
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (is_outside(tile)) {
    return;
  }
  let place = place_of(tile, member);
  var total = Sums();
  let spans = params.eights / params.span;
  var span = place.slice;
  if (span < spans) {
    loop {
      var sums = Sums();
      var eight = span * params.span;
      let span_end = eight + params.span;
      loop {
        var run = Run();
        let end = min(eight + RUN, span_end);
        loop {
          let words = codes_of(place, 0u, eight);
          let x = eight_of_x(place.token, eight);
          add(&run, 0u, words, x);
          if (TOKENS > 1u) {
            let x1 = eight_of_x(place.token + 1u, eight);
            let x2 = eight_of_x(place.token + 2u, eight);
            let x3 = eight_of_x(place.token + 3u, eight);
            add(&run, 1u, words, x1);
            add(&run, 2u, words, x2);
            add(&run, 3u, words, x3);
            if (PANELS > 1u) {
              let others = codes_of(place, 1u, eight);
              add(&run, 4u, others, x);
              add(&run, 5u, others, x1);
              add(&run, 6u, others, x2);
              add(&run, 7u, others, x3);
            }
          } else if (PANELS > 1u) {
            add(&run, 1u, codes_of(place, 1u, eight), x);
            if (PANELS > 2u) {
              add(&run, 2u, codes_of(place, 2u, eight), x);
              add(&run, 3u, codes_of(place, 3u, eight), x);
            }
          }
          eight++;
          if (eight >= end) {
            break;
          }
        }
        extract(&sums, 0u, run);
        if (TOKENS * PANELS > 1u) {
          extract(&sums, 1u, run);
        }
        if (TOKENS * PANELS > 2u) {
          extract(&sums, 2u, run);
          extract(&sums, 3u, run);
        }
        if (TOKENS * PANELS > 4u) {
          extract(&sums, 4u, run);
          extract(&sums, 5u, run);
          extract(&sums, 6u, run);
          extract(&sums, 7u, run);
        }
        if (eight >= span_end) {
          break;
        }
      }
      collect_all(&total, sums, place, group_of(span));
      span += SLICES;
      if (span >= spans) {
        break;
      }
    }
  }
  finish(total, place);
}
`,
  ternary_matmul_int8_dots: `// Product with packed ternary weights in whole numbers, four products an instruction: Y[t, n] = sum over groups g of scale[n, g] * sum
// over k in g of X[t, k] * code[n, k], where X is bytes in two's complement: of sixteen columns, byte b of word j is column 4 b + j.
//
// Weights lie as in ternary_matmul.wgsl, in groups of a multiple of sixteen columns. Halves of words for eight columns and for the next
// eight make words of sixteen codes of one row. Every fourth code of these, plus 2, lies in the lowest bits of a byte, and is multiplied
// by the byte of X for the same column; twice the sum of the bytes is taken away in the end.
requires packed_4x8_integer_dot_product;

const UNIT = 1.0;
// Quads of rows in a block.
const QUADS = 2u;

// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Panels that one invocation takes: 1, 2, or 4 where it takes one row of X.
override PANELS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

// Blocks of a panel, each for one of as many neighbouring invocations.
const LANES = 8u;
// Rows of a panel; a block has QUADS times four.
const PANEL_ROWS = LANES * QUADS * 4u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Columns of Y.
  rows: u32,
  // Columns of X, in eights.
  eights: u32,
  // Columns that share a scale, in eights.
  group: u32,
  // Columns that a slice takes at a time, in eights: a divisor of the group, all of it where nobody shares columns.
  span: u32,
  // What is added to the mean of the squares of a row of X, where it is normalised.
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>; //: out
@group(0) @binding(4) var<uniform> params: Params; //: params

// Sums of the other slices: for each slice and lane what an invocation has summed.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * PANELS * QUADS>;

fn load_x(at: u32) -> Words {
  return x[at]; //: load
}

fn load_codes(at: u32) -> Words {
  return codes[at]; //: load
}

fn load_scales(at: u32) -> Quad {
  return scales[at]; //: load
}

// What an invocation works on.
struct Place {
  // First panel.
  panel: u32,
  // First row of X.
  token: u32,
  // Which block of a panel.
  lane: u32,
  // Which share of the columns.
  slice: u32,
}

fn token_tiles() -> u32 {
  return (params.tokens + TOKENS - 1u) / TOKENS;
}

fn place_of(tile: u32, member: u32) -> Place {
  return Place(tile / token_tiles() * PANELS, tile % token_tiles() * TOKENS, member % LANES, member / LANES);
}

// Whether a workgroup has nothing to do: the same for all of its invocations, which must meet at barriers.
fn is_outside(tile: u32) -> bool {
  return tile / token_tiles() * PANELS * PANEL_ROWS >= params.rows;
}

// What an invocation has summed: for panel p and row t of X the rows of a block, in quads from (p * TOKENS + t) * QUADS on.
alias Sums = array<Quad, 8u * QUADS>;

// A panel of an invocation; the last one in place of those beyond it.
fn panel_at(place: Place, index: u32) -> u32 {
  return min(place.panel + index, (params.rows - 1u) / PANEL_ROWS);
}

// Scales of the rows of a block: the first QUADS.
alias Scales = array<Quad, 5>;

fn scales_of(place: Place, index: u32, group: u32) -> Scales {
  let at = ((panel_at(place, index) * (params.eights / params.group) + group) * LANES + place.lane) * QUADS;
  var scales: Scales;
  scales[0] = UNIT * load_scales(at);
  scales[1] = UNIT * load_scales(at + 1u);
  if (QUADS > 2u) {
    scales[2] = UNIT * load_scales(at + 2u);
    scales[3] = UNIT * load_scales(at + 3u);
    scales[4] = UNIT * load_scales(at + 4u);
  }
  return scales;
}

// Adds the sums over a span of one row of X and one panel.
fn collect(total: ptr<function, Sums>, sums: Sums, column: u32, scales: Scales) {
  let first = column * QUADS;
  (*total)[first] += sums[first] * scales[0];
  (*total)[first + 1u] += sums[first + 1u] * scales[1];
  if (QUADS > 2u) {
    (*total)[first + 2u] += sums[first + 2u] * scales[2];
    (*total)[first + 3u] += sums[first + 3u] * scales[3];
    (*total)[first + 4u] += sums[first + 4u] * scales[4];
  }
}

// The group that has a span.
fn group_of(span: u32) -> u32 {
  return select(span * params.span / params.group, span, SLICES == 1u);
}

// Adds all sums over a span.
fn collect_all(total: ptr<function, Sums>, sums: Sums, place: Place, group: u32) {
  let first = scales_of(place, 0u, group);
  collect(total, sums, 0u, first);
  if (TOKENS > 1u) {
    collect(total, sums, 1u, first);
    collect(total, sums, 2u, first);
    collect(total, sums, 3u, first);
  }
  if (PANELS > 1u) {
    let second = scales_of(place, 1u, group);
    collect(total, sums, TOKENS, second);
    if (TOKENS > 1u) {
      collect(total, sums, 5u, second);
      collect(total, sums, 6u, second);
      collect(total, sums, 7u, second);
    } else if (PANELS > 2u) {
      collect(total, sums, 2u, scales_of(place, 2u, group));
      collect(total, sums, 3u, scales_of(place, 3u, group));
    }
  }
}

// Adds the sums of all slices and stores them.
fn finish(sums: Sums, place: Place) {
  var total = sums;
  let quads = TOKENS * PANELS * QUADS;
  if (SLICES > 1u) {
    let member = place.slice * LANES + place.lane;
    for (var q = 0u; q < quads; q++) {
      partial[member * quads + q] = total[q];
    }
    workgroupBarrier();
    if (place.slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var q = 0u; q < quads; q++) {
        total[q] += partial[(other * LANES + place.lane) * quads + q];
      }
    }
  }
  for (var q = 0u; q < quads; q++) {
    let column = q / QUADS;
    let token = place.token + column % TOKENS;
    let row = (place.panel + column / TOKENS) * PANEL_ROWS + (place.lane * QUADS + q % QUADS) * 4u;
    for (var i = 0u; i < 4u; i++) {
      if (token < params.tokens && row + i < params.rows) {
        let at = token * params.rows + row + i;
        let value = total[q][i];
        out[at] = value; //: store
      }
    }
  }
}

alias Whole = vec4<i32>;

// Codes plus 2 of sixteen columns: of rows i, and of rows i + 4.
struct Sixteen {
  first: Words,
  second: Words,
}

fn codes_of(place: Place, index: u32, sixteen: u32) -> Sixteen {
  let at = (panel_at(place, index) * params.eights + sixteen * 2u) * LANES + place.lane;
  let left = load_codes(at) ^ Words(0xaaaaaaaau);
  let right = load_codes(at + LANES) ^ Words(0xaaaaaaaau);
  return Sixteen((left & Words(0xffffu)) | (right << Words(16u)), (left >> Words(16u)) | (right & Words(0xffff0000u)));
}

fn sixteen_of_x(token: u32, sixteen: u32) -> Words {
  return load_x(min(token, params.tokens - 1u) * (params.eights / 2u) + sixteen);
}

fn dots(codes: Words, x: u32) -> Whole {
  let bytes = codes & Words(0x03030303u);
  return Whole(dot4I8Packed(bytes.x, x), dot4I8Packed(bytes.y, x), dot4I8Packed(bytes.z, x), dot4I8Packed(bytes.w, x));
}

fn products(codes: Words, x: Words) -> Whole {
  return dots(codes, x.x) + dots(codes >> Words(2u), x.y) + dots(codes >> Words(4u), x.z) + dots(codes >> Words(6u), x.w);
}

// Sums of products, in pairs by column, and twice those of the bytes, by row of X.
struct Wholes {
  products: array<Whole, 16>,
  bytes: vec4<i32>,
}

fn add(sums: ptr<function, Wholes>, column: u32, codes: Sixteen, x: Words) {
  (*sums).products[column * 2u] += products(codes.first, x);
  (*sums).products[column * 2u + 1u] += products(codes.second, x);
}

fn twice(x: Words) -> i32 {
  let twos = 0x02020202u;
  return dot4I8Packed(x.x, twos) + dot4I8Packed(x.y, twos) + dot4I8Packed(x.z, twos) + dot4I8Packed(x.w, twos);
}

fn in_floats(sums: Wholes) -> Sums {
  var result = Sums();
  for (var column = 0u; column < TOKENS * PANELS; column++) {
    let excess = Whole(sums.bytes[column % TOKENS]);
    result[column * 2u] = Quad(sums.products[column * 2u] - excess);
    result[column * 2u + 1u] = Quad(sums.products[column * 2u + 1u] - excess);
  }
  return result;
}

@compute @workgroup_size(LANES * SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (is_outside(tile)) {
    return;
  }
  let place = place_of(tile, member);
  var total = Sums();
  let spans = params.eights / params.span;
  var span = place.slice;
  if (span < spans) {
    loop {
      var sums = Wholes();
      var sixteen = span * params.span / 2u;
      let end = sixteen + params.span / 2u;
      loop {
        let codes = codes_of(place, 0u, sixteen);
        let x = sixteen_of_x(place.token, sixteen);
        add(&sums, 0u, codes, x);
        sums.bytes.x += twice(x);
        if (TOKENS > 1u) {
          let x1 = sixteen_of_x(place.token + 1u, sixteen);
          let x2 = sixteen_of_x(place.token + 2u, sixteen);
          let x3 = sixteen_of_x(place.token + 3u, sixteen);
          add(&sums, 1u, codes, x1);
          add(&sums, 2u, codes, x2);
          add(&sums, 3u, codes, x3);
          sums.bytes += Whole(0, twice(x1), twice(x2), twice(x3));
          if (PANELS > 1u) {
            let others = codes_of(place, 1u, sixteen);
            add(&sums, 4u, others, x);
            add(&sums, 5u, others, x1);
            add(&sums, 6u, others, x2);
            add(&sums, 7u, others, x3);
          }
        } else if (PANELS > 1u) {
          add(&sums, 1u, codes_of(place, 1u, sixteen), x);
          if (PANELS > 2u) {
            add(&sums, 2u, codes_of(place, 2u, sixteen), x);
            add(&sums, 3u, codes_of(place, 3u, sixteen), x);
          }
        }
        sixteen++;
        if (sixteen >= end) {
          break;
        }
      }
      collect_all(&total, in_floats(sums), place, group_of(span));
      span += SLICES;
      if (span >= spans) {
        break;
      }
    }
  }
  finish(total, place);
}
`,
  write_rows: `// Rows of a cache, written over what is there: out[b, h, position + t, d] = fresh[b, h, t, d]; rows beyond the end of the cache are lost.
//
// The cache is the memory of the result itself, so that nothing else of it is touched. An invocation writes SPAN elements of a row, as far
// apart as the row has invocations: of a table in pieces, most rows lie in another piece, and are passed over together.

// Elements that an invocation writes.
override SPAN: u32 = 1;

struct Params {
  // Lengths of fresh.
  batch: u32,
  heads: u32,
  tokens: u32,
  width: u32,
  // Elements from one to the next along each axis of fresh, and before its first.
  strides: vec4<u32>,
  offset: u32,
  // Rows of the cache.
  length: u32,
}

@group(0) @binding(0) var<storage, read> fresh: array<f32>;
@group(0) @binding(1) var<storage, read> position: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) member: u32,
) {
  let item = (workgroup.y * workgroups.x + workgroup.x) * 64u + member;
  let members = (params.width + SPAN - 1u) / SPAN;
  let token = item / members % params.tokens;
  let head = item / members / params.tokens % params.heads;
  let batch = item / members / params.tokens / params.heads;
  let row = position[0] + token;
  let width = select(0u, params.width, batch < params.batch && row < params.length);
  let to = ((batch * params.heads + head) * params.length + row) * params.width;
  let steps = vec3(batch, head, token) * params.strides.xyz;
  let start = params.offset + steps.x + steps.y + steps.z;
  for (var column = item % members; column < width; column += members) {
    out[to + column] = fresh[start + column * params.strides.w];
  }
}
`,
} as const;

/** Functions that generated shaders add where they use them. */
export const shaderFunctions = {
  round_to_half: `// The nearest float16, ties to even. In whole numbers, since drivers take what is narrowed and widened again for what it was.
fn round_to_half(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let size = bits & 0x7fffffffu;
  let normal = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
  let subnormal = bitcast<u32>(round(abs(value) * 0x1p+24f) * 0x1p-24f);
  let large = select(normal, 0x7f800000u, normal >= 0x47800000u);
  let rounded = select(large, subnormal, size < 0x38800000u);
  return bitcast<f32>(select(rounded, size, size > 0x7f800000u) | (bits & 0x80000000u));
}

`,
  sine: `// Sine of x in radians, or where \`phase\` is a half its cosine: WGSL's own may be off by 1/2048. The nearest multiple of pi, or half of it
// beside one, is taken off in three parts (Cody and Waite); an odd polynomial is then off by 1.4e-7 at most. Beyond 10000 the turns of x
// are a product of whole numbers, with the bits of 1 / (2 pi) that matter (Payne and Hanek).
fn sine(x: f32, phase: f32) -> f32 {
  var turns = round(x * 0.31830987f - phase);
  let nearest = turns + phase;
  var r = ((x - nearest * 3.140625f) - nearest * 0.0009675026f) - nearest * 1.509958e-7f;
  if (abs(x) > 10000.0f) {
    let exponent = (bitcast<u32>(x) >> 23u) & 255u;
    let mantissa = (bitcast<u32>(x) & 0x007fffffu) | 0x00800000u;
    var inverse = array<u32, 7>(0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);
    let skipped = exponent - 118u; // of these bits, 32 of which are none: x is the mantissa times 2^(exponent - 150)
    let word = skipped / 32u;
    let bits = skipped % 32u;
    let high = (inverse[word] << bits) | ((inverse[word + 1u] >> 1u) >> (31u - bits));
    let low = (inverse[word + 1u] << bits) | ((inverse[word + 2u] >> 1u) >> (31u - bits));
    let carry = (mantissa >> 16u) * (low >> 16u) + (((mantissa >> 16u) * (low & 0xffffu)) >> 16u) +
      (((mantissa & 0xffffu) * (low >> 16u)) >> 16u);
    let turn = mantissa * high + carry; // of x, as a fraction of 2^32
    let signed = select(turn, 0u - turn, x < 0.0f) - u32(phase * 2147483648.0f);
    let half_turns = (signed + 0x40000000u) >> 31u;
    turns = f32(half_turns);
    r = f32(bitcast<i32>(signed - (half_turns << 31u))) * 1.4629180792671596e-9f;
    r = select(r, bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u), exponent == 255u);
  }
  let s = r * r;
  let y = r + r * s * (((2.6347447e-6f * s - 0.00019822735f) * s + 0.0083332425f) * s - 0.16666666f);
  return y * (1.0f - 4.0f * phase) * (1.0f - 2.0f * (turns - 2.0f * floor(turns * 0.5f)));
}
`,
  maximum: `// The larger of two; NaN where one of them is. By bits, since drivers may assume that there is no NaN.
fn maximum(a: f32, b: f32) -> f32 {
  let magnitude = max(bitcast<i32>(a) & 0x7fffffff, bitcast<i32>(b) & 0x7fffffff);
  return select(max(a, b), a + b, magnitude > 0x7f800000);
}
`,
  maximum4: `// The larger of two, in each of four places; NaN where one of them is. By bits, since drivers may assume that there is no NaN.
fn maximum4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  let magnitude = max(bitcast<vec4<i32>>(a) & vec4<i32>(0x7fffffff), bitcast<vec4<i32>>(b) & vec4<i32>(0x7fffffff));
  return select(max(a, b), a + b, magnitude > vec4<i32>(0x7f800000));
}
`,
  minimum: `// The smaller of two; NaN where one of them is. By bits, since drivers may assume that there is no NaN.
fn minimum(a: f32, b: f32) -> f32 {
  let magnitude = max(bitcast<i32>(a) & 0x7fffffff, bitcast<i32>(b) & 0x7fffffff);
  return select(min(a, b), a + b, magnitude > 0x7f800000);
}
`,
  minimum4: `// The smaller of two, in each of four places; NaN where one of them is. By bits, since drivers may assume that there is no NaN.
fn minimum4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  let magnitude = max(bitcast<vec4<i32>>(a) & vec4<i32>(0x7fffffff), bitcast<vec4<i32>>(b) & vec4<i32>(0x7fffffff));
  return select(min(a, b), a + b, magnitude > vec4<i32>(0x7f800000));
}
`,
} as const;
