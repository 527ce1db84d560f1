//: include round_to_half
fn scale_of(mean: Element) -> Element {
  let scale = max(mean, 1e-5);
  return select(scale, round_to_half(scale), HALF);
}
