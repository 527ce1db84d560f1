// Matrix product of any strided views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. No k gives zeros.
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
