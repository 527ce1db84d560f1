// The largest of the members of a row.
fn largest(part: Element, lane: u32, member: u32) -> Element {
  if (MEMBERS == 1u) {
    return part;
  }
  parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      parts[lane] = max(parts[lane], parts[lane + step]);
    }
  }
  workgroupBarrier();
  let result = parts[lane - member];
  workgroupBarrier();
  return result;
}

fn counted_from(top: Element, powers: Powers) -> Powers {
  return Powers(top, powers.sum * exp(powers.top - top));
}

fn largest_of(v: Quad) -> Element {
  return max(max(v.x, v.y), max(v.z, v.w));
}
