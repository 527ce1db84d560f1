import { deepEqual, equal, throws } from "../assert.ts";
import { ggufName, huggingFaceName, inverseOrder, reorderRows, ropeRowOrder } from "../../src/llama/gguf_names.ts";

const pairs = [
  ["model.embed_tokens.weight", "token_embd.weight"],
  ["model.norm.weight", "output_norm.weight"],
  ["lm_head.weight", "output.weight"],
  ["model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"],
  ["model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight"],
  ["model.layers.2.self_attn.v_proj.weight", "blk.2.attn_v.weight"],
  ["model.layers.3.self_attn.o_proj.weight", "blk.3.attn_output.weight"],
  ["model.layers.4.mlp.gate_proj.weight", "blk.4.ffn_gate.weight"],
  ["model.layers.5.mlp.up_proj.weight", "blk.5.ffn_up.weight"],
  ["model.layers.15.mlp.down_proj.weight", "blk.15.ffn_down.weight"],
  ["model.layers.27.input_layernorm.weight", "blk.27.attn_norm.weight"],
  ["model.layers.100.post_attention_layernorm.weight", "blk.100.ffn_norm.weight"],
];

Deno.test("every tensor of a Llama has a name in GGUF and back", () => {
  for (const [huggingFace, gguf] of pairs) {
    equal(ggufName(huggingFace), gguf);
    equal(huggingFaceName(gguf), huggingFace);
  }
});

Deno.test("other names are refused", () => {
  for (
    const name of [
      "",
      "weight",
      "model.layers.x.mlp.up_proj.weight",
      "model.layers.0.mlp.up_proj.scale",
      "model.layers.0.lm_head.weight",
    ]
  ) {
    throws(() => ggufName(name), { message: `Cannot name "${name}" in GGUF: it is no tensor of a Llama model` });
  }
  for (const name of ["rope_freqs.weight", "blk.0.attn_q.scale", "blk.0.output.weight", "toString"]) {
    throws(() => huggingFaceName(name), /Cannot name/);
  }
});

Deno.test("query rows go from halves to neighbours within each head", () => {
  deepEqual([...ropeRowOrder(8, 1)], [0, 4, 1, 5, 2, 6, 3, 7]);
  deepEqual([...ropeRowOrder(8, 2)], [0, 2, 1, 3, 4, 6, 5, 7]);
  deepEqual([...ropeRowOrder(4, 2)], [0, 1, 2, 3]);
  throws(() => ropeRowOrder(6, 2), /Cannot order 6 rows of 2 heads: wanted an even number of rows a head/);
  throws(() => ropeRowOrder(8, 3), /Cannot order 8 rows of 3 heads/);
});

Deno.test("rope on neighbours after reordering equals rope on halves before", () => {
  const [rows, heads, angles] = [8, 2, [0.3, 1.1]];
  const x = Float64Array.from({ length: rows }, (_, i) => i * i + 1);
  const rotate = (
    v: Float64Array,
    first: (head: number, pair: number) => number,
    distance: number,
  ): Float64Array<ArrayBuffer> => {
    const y = Float64Array.from(v);
    for (let head = 0; head < heads; head++) {
      angles.forEach((angle, pair) => {
        const [i, j] = [first(head, pair), first(head, pair) + distance];
        y[i] = v[i] * Math.cos(angle) - v[j] * Math.sin(angle);
        y[j] = v[j] * Math.cos(angle) + v[i] * Math.sin(angle);
      });
    }
    return y;
  };
  const order = ropeRowOrder(rows, heads);
  const halves = rotate(x, (head, pair) => head * 4 + pair, 2);
  const neighbours = rotate(reorderRows(x, order), (head, pair) => head * 4 + 2 * pair, 1);
  deepEqual(reorderRows(neighbours, inverseOrder(order)), halves);
});

Deno.test("codes, scales per row and scales per group move together", () => {
  const order = ropeRowOrder(4, 1); // 0, 2, 1, 3
  deepEqual(reorderRows(Int8Array.of(1, 1, 0, 1, -1, 0, 0, 0), order), Int8Array.of(1, 1, -1, 0, 0, 1, 0, 0));
  deepEqual(reorderRows(Float32Array.of(1, 2, 3, 4), order), Float32Array.of(1, 3, 2, 4));
  throws(() => reorderRows(Float32Array.of(1), order), /Cannot reorder 4 rows of 1 values: wanted a multiple/);
});
