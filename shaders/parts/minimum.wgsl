// The smaller of two; NaN where one of them is. By bits, since drivers may assume that there is no NaN.
fn minimum(a: f32, b: f32) -> f32 {
  let magnitude = max(bitcast<i32>(a) & 0x7fffffff, bitcast<i32>(b) & 0x7fffffff);
  return select(min(a, b), a + b, magnitude > 0x7f800000);
}
