// Rows of X that one invocation takes: 1 or 4.
override TOKENS: u32 = 1;
// Panels that one invocation takes: 1, 2, or 4 where it takes one row of X.
override PANELS: u32 = 1;
// Invocations that share the columns.
override SLICES: u32 = 1;

const LANES = 8u;

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
}

@group(0) @binding(0) var<storage, read> x: array<Words>; //: input
@group(0) @binding(1) var<storage, read> codes: array<Words>; //: input
@group(0) @binding(2) var<storage, read> scales: array<Quad>; //: input
@group(0) @binding(3) var<storage, read_write> out: array<Element>;
@group(0) @binding(4) var<uniform> params: Params;

// Sums of the other slices: for each slice, lane and column rows 0 to 3, then rows 4 to 7.
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

// Results of an invocation, by rows 0 to 3 and 4 to 7 of a block. Column p * TOKENS + t is of panel p and row t of X.
struct Sums {
  low: array<Quad, 8>,
  high: array<Quad, 8>,
}

// A panel of an invocation; the last one in place of those beyond it.
fn panel_at(place: Place, index: u32) -> u32 {
  return min(place.panel + index, (params.rows - 1u) / (LANES * 8u));
}

// The codes that a panel has of eight columns.
fn codes_of(place: Place, index: u32, eight: u32) -> Words {
  return load_codes((panel_at(place, index) * params.eights + eight) * LANES + place.lane);
}

// Scales of the rows of a block.
struct Scales {
  low: Quad,
  high: Quad,
}

fn scales_of(place: Place, index: u32, group: u32) -> Scales {
  let at = ((panel_at(place, index) * (params.eights / params.group) + group) * LANES + place.lane) * 2u;
  return Scales(UNIT * load_scales(at), UNIT * load_scales(at + 1u));
}

// Adds a column of sums over a group.
fn collect(total: ptr<function, Sums>, sums: Sums, column: u32, scales: Scales) {
  (*total).low[column] += sums.low[column] * scales.low;
  (*total).high[column] += sums.high[column] * scales.high;
}

// Adds all columns of sums over a group.
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
    let token = place.token + c % TOKENS;
    let row = ((place.panel + c / TOKENS) * LANES + place.lane) * 8u;
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
