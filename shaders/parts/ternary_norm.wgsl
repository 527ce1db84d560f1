// The weight of the norm, by four columns.
fn load_norm(at: u32) -> Quad {
  return Quad(1.0); //: norm
}

// Four columns of a row of X, times the weight of the norm; notes their squares.
fn normed(squares: ptr<function, Quad>, index: u32, four: u32, x: Quad) -> Quad {
  if (NORMED) {
    (*squares)[index] += dot(x, x);
    return x * load_norm(four);
  }
  return x;
}

// Divides the sums of each row of X by the root of the mean of its squares, of which each slice has some.
fn divide(sums: ptr<function, Sums>, squares: Quad, place: Place) {
  if (NORMED) {
    if (place.lane == 0u) {
      partial[place.slice] = squares;
    }
    workgroupBarrier();
    var total = Quad();
    for (var slice = 0u; slice < SLICES; slice++) {
      total += partial[slice];
    }
    workgroupBarrier();
    let scales = inverseSqrt(total / Element(params.eights * 8u) + params.epsilon);
    for (var q = 0u; q < TOKENS * PANELS * QUADS; q++) {
      (*sums)[q] *= scales[q / QUADS % TOKENS];
    }
  }
}
