fn scale_of(mean: Element) -> Element {
  let scale = max(mean, 1e-5);
  return select(scale, unpack2x16float(pack2x16float(vec2(scale, 0.0))).x, HALF);
}
