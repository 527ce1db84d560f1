// Sine of x in radians, or where `phase` is a half its cosine: WGSL's own may be off by 1/2048. The nearest multiple of pi, or half of it
// beside one, is taken off in three parts (Cody and Waite); an odd polynomial is then off by 1.4e-7 at most. Beyond 10000 the turns of x
// are a product of whole numbers, with the bits of 1 / (2 pi) that matter (Payne and Hanek).
fn sine(x: f32, phase: f32) -> f32 {
  var turns = round(x * 0.31830987f - phase);
  let nearest = turns + phase;
  var r = ((x - nearest * 3.140625f) - nearest * 0.0009675026f) - nearest * 1.509958e-7f;
  if (abs(x) > 10000.0f) {
    let exponent = (bitcast<u32>(x) >> 23u) & 255u;
    let mantissa = (bitcast<u32>(x) & 0x007fffffu) | 0x00800000u;
    var inverse = array<u32, 7>(0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);
    let skipped = exponent - 118u; // of these bits, 32 of which are none: x is the mantissa times 2^(exponent - 150)
    let word = skipped / 32u;
    let bits = skipped % 32u;
    let high = (inverse[word] << bits) | ((inverse[word + 1u] >> 1u) >> (31u - bits));
    let low = (inverse[word + 1u] << bits) | ((inverse[word + 2u] >> 1u) >> (31u - bits));
    let carry = (mantissa >> 16u) * (low >> 16u) + (((mantissa >> 16u) * (low & 0xffffu)) >> 16u) +
      (((mantissa & 0xffffu) * (low >> 16u)) >> 16u);
    let turn = mantissa * high + carry; // of x, as a fraction of 2^32
    let signed = select(turn, 0u - turn, x < 0.0f) - u32(phase * 2147483648.0f);
    let half_turns = (signed + 0x40000000u) >> 31u;
    turns = f32(half_turns);
    r = f32(bitcast<i32>(signed - (half_turns << 31u))) * 1.4629180792671596e-9f;
    r = select(r, bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u), exponent == 255u);
  }
  let s = r * r;
  let y = r + r * s * (((2.6347447e-6f * s - 0.00019822735f) * s + 0.0083332425f) * s - 0.16666666f);
  return y * (1.0f - 4.0f * phase) * (1.0f - 2.0f * (turns - 2.0f * floor(turns * 0.5f)));
}
