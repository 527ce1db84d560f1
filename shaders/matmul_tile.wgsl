// Matrix product of aligned views: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n].
//
// One invocation computes a tile of C of 16 or 32 rows by 16 or 32 columns, kept in registers as 4 x 4 blocks, and walks along k
// four steps at a time. Every load and store is a quad (four elements side by side): A along k or along m, B along n or along k.
// C is contiguous, N is a multiple of 4. Tiles are numbered along n, then m, then the batch; a workgroup takes LANES of them.
// Rows and columns past the edge repeat the last one and are not written. The marked lines are replaced to read textures.

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
  // Quads before the first element.
  offset: u32,
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
}

@group(0) @binding(0) var<storage, read> a: array<Quad>; //: input
@group(0) @binding(1) var<storage, read> b: array<Quad>; //: input
@group(0) @binding(2) var<storage, read_write> out: array<Quad>;
@group(0) @binding(3) var<uniform> params: Params;

fn first_quad(operand: Operand, place: vec3<u32>) -> u32 {
  let steps = operand.batch * place;
  return operand.offset + steps.x + steps.y + steps.z;
}

fn quad_of_a(quad: u32) -> Quad {
  return a[quad]; //: load
}

fn quad_of_b(quad: u32) -> Quad {
  return b[quad]; //: load
}

fn line_of_a(quad: u32, k: u32) -> Quad {
  if (RAGGED_K && k >= params.k) {
    return Quad();
  }
  return quad_of_a(quad + k * params.a.pitch);
}

fn line_of_b(quad: u32, k: u32) -> Quad {
  if (RAGGED_K && k >= params.k) {
    return Quad();
  }
  return quad_of_b(quad + k * params.b.pitch);
}

// Rows row .. row + 3 and columns k .. k + 3 of A.
fn block_of_a(first: u32, row: u32, k: u32) -> Block {
  if (A_ALONG_K) {
    let at = vec4(first + k / 4u) + min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.m - 1u)) * params.a.pitch;
    return Block(quad_of_a(at.x), quad_of_a(at.y), quad_of_a(at.z), quad_of_a(at.w));
  }
  let at = first + min(row, params.m - 1u) / 4u;
  return transpose(Block(line_of_a(at, k), line_of_a(at, k + 1u), line_of_a(at, k + 2u), line_of_a(at, k + 3u)));
}

// Rows k .. k + 3 and columns column .. column + 3 of B.
fn block_of_b(first: u32, k: u32, column: u32) -> Block {
  if (B_ALONG_N) {
    let at = first + min(column, params.n - 1u) / 4u;
    return Block(line_of_b(at, k), line_of_b(at, k + 1u), line_of_b(at, k + 2u), line_of_b(at, k + 3u));
  }
  let at = vec4(first + k / 4u) + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)) * params.b.pitch;
  return transpose(Block(quad_of_b(at.x), quad_of_b(at.y), quad_of_b(at.z), quad_of_b(at.w)));
}

fn strip_of_a(first: u32, row: u32, k: u32) -> Strip {
  var x: Strip;
  x.r0 = block_of_a(first, row, k);
  x.r1 = block_of_a(first, row + 4u, k);
  x.r2 = block_of_a(first, row + 8u, k);
  x.r3 = block_of_a(first, row + 12u, k);
  if (TALL) {
    x.r4 = block_of_a(first, row + 16u, k);
    x.r5 = block_of_a(first, row + 20u, k);
    x.r6 = block_of_a(first, row + 24u, k);
    x.r7 = block_of_a(first, row + 28u, k);
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

fn store_block(block: Block, batch: u32, row: u32, column: u32) {
  if (column >= params.n) {
    return;
  }
  for (var i = 0u; i < 4u; i++) {
    if (row + i < params.m) {
      out[((batch * params.m + row + i) * params.n + column) / 4u] = block[i];
    }
  }
}

fn store_strip(sum: Strip, batch: u32, row: u32, column: u32) {
  store_block(sum.r0, batch, row, column);
  store_block(sum.r1, batch, row + 4u, column);
  store_block(sum.r2, batch, row + 8u, column);
  store_block(sum.r3, batch, row + 12u, column);
  if (TALL) {
    store_block(sum.r4, batch, row + 16u, column);
    store_block(sum.r5, batch, row + 20u, column);
    store_block(sum.r6, batch, row + 24u, column);
    store_block(sum.r7, batch, row + 28u, column);
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
  let batch = tile / tiles;
  if (batch >= params.batch.x * params.batch.y * params.batch.z) {
    return;
  }
  let row = tile % tiles / tiles_along_n * rows;
  let column = tile % tiles_along_n * columns;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);
  let first_a = first_quad(params.a, place);
  let first_b = first_quad(params.b, place);

  var c0: Strip;
  var c1: Strip;
  var c2: Strip;
  var c3: Strip;
  var c4: Strip;
  var c5: Strip;
  var c6: Strip;
  var c7: Strip;
  for (var k = 0u; k < params.k; k += 4u) {
    let x = strip_of_a(first_a, row, k);
    accumulate(&c0, x, block_of_b(first_b, k, column));
    accumulate(&c1, x, block_of_b(first_b, k, column + 4u));
    accumulate(&c2, x, block_of_b(first_b, k, column + 8u));
    accumulate(&c3, x, block_of_b(first_b, k, column + 12u));
    if (WIDE) {
      accumulate(&c4, x, block_of_b(first_b, k, column + 16u));
      accumulate(&c5, x, block_of_b(first_b, k, column + 20u));
      accumulate(&c6, x, block_of_b(first_b, k, column + 24u));
      accumulate(&c7, x, block_of_b(first_b, k, column + 28u));
    }
  }
  // A loop, with the strips moving up: stores written out for every strip double the time that a driver takes to compile.
  for (var i = 0u; i < columns / 4u; i++) {
    store_strip(c0, batch, row, column + 4u * i);
    c0 = c1;
    c1 = c2;
    c2 = c3;
    c3 = c4;
    c4 = c5;
    c5 = c6;
    c6 = c7;
  }
}
