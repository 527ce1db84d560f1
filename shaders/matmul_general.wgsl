// Matrix product of any strided views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. No k gives zeros.
//
// One invocation computes a ROWS x COLUMNS tile of C, kept in registers, loading element by element, four steps of k a turn. C is
// contiguous. Tiles are numbered along n, then m, then the batch; a workgroup takes LANES of them. Rows, columns and steps past
// the edge repeat the last one and are not counted.

// Rows of the tile, 1 to 8.
override ROWS: u32 = 8;
// Columns of the tile, 1 to 8.
override COLUMNS: u32 = 8;
// Invocations of a workgroup.
override LANES: u32 = 8;

alias Element = f32;

struct Operand {
  // Elements from one batch index to the next, for each batch axis; 0 repeats.
  batch: vec3<u32>,
  // Elements before the first one.
  offset: u32,
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
}

@group(0) @binding(0) var<storage, read> a: array<Element>;
@group(0) @binding(1) var<storage, read> b: array<Element>;
@group(0) @binding(2) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

fn first_element(operand: Operand, place: vec3<u32>) -> u32 {
  let steps = operand.batch * place;
  return operand.offset + steps.x + steps.y + steps.z;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tiles_along_n = (params.n + COLUMNS - 1u) / COLUMNS;
  let tiles = (params.m + ROWS - 1u) / ROWS * tiles_along_n;
  let tile = (group.y * groups.x + group.x) * LANES + lane;
  let batch = tile / tiles;
  if (batch >= params.batch.x * params.batch.y * params.batch.z) {
    return;
  }
  let row = tile % tiles / tiles_along_n * ROWS;
  let column = tile % tiles_along_n * COLUMNS;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);
  let first_a = first_element(params.a, place);
  let first_b = first_element(params.b, place);

  var sum: array<Element, 64>;
  var x: array<Element, 8>;
  for (var start = 0u; start < params.k; start += 4u) {
    for (var step = 0u; step < 4u; step++) {
      let k = min(start + step, params.k - 1u);
      let inside = start + step < params.k;
      for (var r = 0u; r < ROWS; r++) {
        let at = first_a + min(row + r, params.m - 1u) * params.a.row + k * params.a.column;
        x[r] = select(0, a[at], inside);
      }
      for (var c = 0u; c < COLUMNS; c++) {
        let y = b[first_b + k * params.b.row + min(column + c, params.n - 1u) * params.b.column];
        for (var r = 0u; r < ROWS; r++) {
          sum[r * COLUMNS + c] += x[r] * y;
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < COLUMNS; c++) {
      if (row + r < params.m && column + c < params.n) {
        out[(batch * params.m + row + r) * params.n + column + c] = sum[r * COLUMNS + c];
      }
    }
  }
}
