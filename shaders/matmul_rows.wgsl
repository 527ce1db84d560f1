// Matrix product with few rows: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n] for m < ROWS, as in decoding token by token.
//
// One invocation computes ROWS rows by 4 columns of C and walks along k four steps at a time. Loads are quads (four elements side
// by side): A along k, B along k or along n. C is contiguous. Groups of 4 columns are numbered along n, then the batch; a
// workgroup takes LANES of them. Rows and columns past the edge repeat the last one and are not written.

// Whether quads of B run along n (else along k).
override B_ALONG_N: bool = false;
// Rows of C that one invocation computes, 1 to 8; all of them.
override ROWS: u32 = 1;
// Invocations of a workgroup.
override LANES: u32 = 8;

alias Element = f32;
alias Quad = vec4<Element>;

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
  // Columns of A, rows of B: a multiple of 4.
  k: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Quad>;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

fn first_quad(operand: Operand, place: vec3<u32>) -> u32 {
  let steps = operand.batch * place;
  return operand.offset + steps.x + steps.y + steps.z;
}

// Rows k .. k + 3 and columns column .. column + 3 of B; column i of the block is row k + i.
fn block_of_b(first: u32, k: u32, column: u32) -> mat4x4<Element> {
  let pitch = params.b.pitch;
  if (B_ALONG_N) {
    let at = first + min(column, params.n - 1u) / 4u + k * pitch;
    return mat4x4(b[at], b[at + pitch], b[at + 2u * pitch], b[at + 3u * pitch]);
  }
  let at = vec4(first + k / 4u) + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)) * pitch;
  return transpose(mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let width = (params.n + 3u) / 4u;
  let item = (group.y * groups.x + group.x) * LANES + lane;
  let batch = item / width;
  if (batch >= params.batch.x * params.batch.y * params.batch.z) {
    return;
  }
  let column = item % width * 4u;
  let place = vec3(batch / params.batch.z / params.batch.y, batch / params.batch.z % params.batch.y, batch % params.batch.z);
  let first_a = first_quad(params.a, place);
  let first_b = first_quad(params.b, place);

  var sum: array<Quad, 8>;
  for (var k = 0u; k < params.k; k += 4u) {
    let y = block_of_b(first_b, k, column);
    for (var r = 0u; r < ROWS; r++) {
      sum[r] += y * a[first_a + min(r, params.m - 1u) * params.a.pitch + k / 4u];
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var i = 0u; i < 4u; i++) {
      if (r < params.m && column + i < params.n) {
        out[(batch * params.m + r) * params.n + column + i] = sum[r][i];
      }
    }
  }
}
