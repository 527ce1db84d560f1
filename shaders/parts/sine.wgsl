// Sine of x in radians, or where `phase` is a half its cosine: WGSL's own may be off by 1/2048. The nearest multiple of pi, or half of it
// beside one, is taken off in three parts (Cody and Waite); an odd polynomial is then off by 1.4e-7 at most, for x up to 10000.
fn sine(x: f32, phase: f32) -> f32 {
  let turns = round(x * 0.31830987f - phase);
  let nearest = turns + phase;
  let r = ((x - nearest * 3.140625f) - nearest * 0.0009675026f) - nearest * 1.509958e-7f;
  let s = r * r;
  let y = r + r * s * (((2.6347447e-6f * s - 0.00019822735f) * s + 0.0083332425f) * s - 0.16666666f);
  return y * (1.0f - 4.0f * phase) * (1.0f - 2.0f * (turns - 2.0f * floor(turns * 0.5f)));
}

