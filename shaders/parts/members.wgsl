var<workgroup> parts: array<Element, LANES>;

// The sum over the members of a row.
fn total(part: Element, lane: u32, member: u32) -> Element {
  if (MEMBERS == 1u) {
    return part;
  }
  parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      parts[lane] = parts[lane] + parts[lane + step];
    }
  }
  workgroupBarrier();
  let result = parts[lane - member];
  workgroupBarrier();
  return result;
}
