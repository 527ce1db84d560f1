// Matrix product of any strided views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. Several products of one layout may be added up
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

// Place `index` of a tile: its line, that is row or column, and its step; neighbours follow the step, or the line.
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
