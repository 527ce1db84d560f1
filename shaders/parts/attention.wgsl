alias Element = f32;
alias Quad = vec4<Element>;

// Strides of a tensor in quads.
struct View {
  batch: u32,
  position: u32,
  head: u32,
  offset: u32,
}

fn first_quad(view: View, batch: u32, head: u32, position: u32) -> u32 {
  return view.offset + batch * view.batch + head * view.head + position * view.position;
}
