// Causal attention of grouped heads: softmax(q kᵀ scale) v over the keys that each query may see, and the logarithm of each row's sum.
//
// The query heads that share a key head are one matrix: its rows go through the queries, and through the heads of each query.
// A workgroup owns 32 rows and walks over tiles of 32 keys, up to the last one that its rows may see. Scores exist for one tile at a
// time: the sums so far are scaled down whenever a larger score appears (Milakov and Gimelshein, 2018; Dao et al., 2022).
// An invocation owns rows `down + 8i` and, among the keys of a tile, `across + 8j`.

// Steps of eight quads through a head, at most four.
override STEPS: u32 = 1;

//: include attention

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
