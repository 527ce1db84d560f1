// Matrix product of aligned views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]. Several products of one layout may be added up
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
// Column i of an A block is row i of A; column i of a B block is row i of B; so `y * x` is the product x y, by rows.
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

// Stores four elements of an output; `at` counts in fours.
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
