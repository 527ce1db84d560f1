// The smaller of two, in each of four places; NaN where one of them is. By bits, since drivers may assume that there is no NaN.
fn minimum4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  let magnitude = max(bitcast<vec4<i32>>(a) & vec4<i32>(0x7fffffff), bitcast<vec4<i32>>(b) & vec4<i32>(0x7fffffff));
  return select(min(a, b), a + b, magnitude > vec4<i32>(0x7f800000));
}
