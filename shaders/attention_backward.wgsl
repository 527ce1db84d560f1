// Gradients of causal attention of grouped heads: of the queries, followed by Σ gradient output of each row, four
// times, or of keys and values (FOR_KEYS).
//
// The query heads that share a key head are one matrix: its rows go through the queries, and through the heads of each query.
// A workgroup owns 32 lines, which are rows or keys, and walks over tiles of 32 of the others that see them. With w = exp(s - rest),
// where s are the scores, computed again, and rest the logarithm of a row's sum, and with e = gradient vᵀ:
//   gradient of s: w (e - Σ gradient output)    gradients: q: (of s) k    k: (of s)ᵀ q    v: wᵀ gradient
// An invocation owns lines `down + 8i` and, among the others of a tile, `across + 8j`.

// Whether the gradients are those of keys, followed by those of values (else of the queries).
override FOR_KEYS: bool = false;
// Steps of eight quads through a head, at most four.
override STEPS: u32 = 1;

//: include attention

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
  // Elements before the first of `rest`.
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

// Adds the others of a tile, weighted by `factors`.
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

// Where a row lies in `output`.
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

// Σ gradient output of a row; `row_in_tile` counts in the tile that `inner` is of.
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
