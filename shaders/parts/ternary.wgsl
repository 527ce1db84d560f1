// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Panels that one invocation takes: 1, or 4 where it takes one row of X.
override PANELS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

const LANES = 8u;

alias Element = f32;
alias Quad = vec4<Element>;
alias Words = vec4<u32>;
alias Block = mat4x4<Element>;

struct Params {
  // Rows of X and Y.
  tokens: u32,
  // Columns of Y.
  rows: u32,
  // Columns of X, in eights.
  eights: u32,
  // Columns that share a scale, in eights.
  group: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>;
@group(0) @binding(4) var<uniform> params: Params;

// Sums of the other slices: for each slice, lane and column of the blocks rows 0 to 3, then rows 4 to 7.
var<workgroup> partial: array<Quad, SLICES * LANES * TOKENS * PANELS * 2u>;

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
  // Which 8 rows of a panel.
  lane: u32,
  // Which share of the columns.
  slice: u32,
}

fn place_of(tile: u32, member: u32) -> Place {
  let token_tiles = (params.tokens + TOKENS - 1u) / TOKENS;
  return Place(tile / token_tiles * PANELS, tile % token_tiles * TOKENS, member % LANES, member / LANES);
}

fn is_outside(place: Place) -> bool {
  return place.panel * LANES * 8u >= params.rows;
}

// Results of an invocation, by rows 0 to 3 and 4 to 7. Column i belongs to row i of X, or to panel i where it takes four panels.
struct Sums {
  low: Block,
  high: Block,
}

// The panel of a column; the last one in place of those beyond it.
fn panel_of(place: Place, column: u32) -> u32 {
  return select(place.panel, min(place.panel + column, (params.rows - 1u) / (LANES * 8u)), PANELS > 1u);
}

// Where a panel has the codes of eight columns.
fn at_codes(place: Place, column: u32, eight: u32) -> u32 {
  return (panel_of(place, column) * params.eights + eight) * LANES + place.lane;
}

// Adds a column of sums over a group, with its scales.
fn scale(total: ptr<function, Sums>, column: u32, place: Place, group: u32, low: Quad, high: Quad) {
  let at = ((panel_of(place, column) * (params.eights / params.group) + group) * LANES + place.lane) * 2u;
  (*total).low[column] += low * load_scales(at);
  (*total).high[column] += high * load_scales(at + 1u);
}

// Adds the sums of all slices and stores them.
fn finish(sums: Sums, place: Place) {
  var low = sums.low;
  var high = sums.high;
  let columns = TOKENS * PANELS;
  if (SLICES > 1u) {
    let member = place.slice * LANES + place.lane;
    for (var c = 0u; c < columns; c++) {
      partial[(member * columns + c) * 2u] = low[c];
      partial[(member * columns + c) * 2u + 1u] = high[c];
    }
    workgroupBarrier();
    if (place.slice > 0u) {
      return;
    }
    for (var other = 1u; other < SLICES; other++) {
      for (var c = 0u; c < columns; c++) {
        let at = ((other * LANES + place.lane) * columns + c) * 2u;
        low[c] += partial[at];
        high[c] += partial[at + 1u];
      }
    }
  }
  for (var c = 0u; c < columns; c++) {
    let token = place.token + select(0u, c, TOKENS > 1u);
    let row = ((place.panel + select(0u, c, PANELS > 1u)) * LANES + place.lane) * 8u;
    for (var i = 0u; i < 4u; i++) {
      if (token < params.tokens && row + i < params.rows) {
        out[token * params.rows + row + i] = low[c][i];
      }
      if (token < params.tokens && row + 4u + i < params.rows) {
        out[token * params.rows + row + 4u + i] = high[c][i];
      }
    }
  }
}
