// The nearest float16, ties to even. In whole numbers, since drivers take what is narrowed and widened again for what it was.
fn round_to_half(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let size = bits & 0x7fffffffu;
  let normal = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
  let subnormal = bitcast<u32>(round(abs(value) * 0x1p+24f) * 0x1p-24f);
  let large = select(normal, 0x7f800000u, normal >= 0x47800000u);
  let rounded = select(large, subnormal, size < 0x38800000u);
  return bitcast<f32>(select(rounded, size, size > 0x7f800000u) | (bits & 0x80000000u));
}

