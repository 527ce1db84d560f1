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
