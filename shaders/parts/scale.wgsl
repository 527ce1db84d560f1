//: include round_to_half
fn scale_of(mean: Element) -> Element {
  let scale = select(max(mean, EPSILON), mean + EPSILON, OFFSET);
  let is_nan = (bitcast<u32>(mean) & 0x7fffffffu) > 0x7f800000u; // which a maximum may take for the smaller one
  return select(select(scale, round_to_half(scale), HALF), mean, is_nan);
}
