// Matrix product with few rows: C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n] for m <= ROWS, as in decoding token by token. Several
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
