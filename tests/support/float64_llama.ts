/**
 * The forward pass of the families in plain loops of float64, from the published formulas and the fields of `config.json`: it knows nothing
 * of the library.
 *
 * @module
 */

/** The fields of a `config.json`. */
// deno-lint-ignore no-explicit-any -- whatever the file says
export type ConfigJson = Record<string, any>;

/** Numbers by Hugging Face name. */
export type Weights = Readonly<Record<string, ArrayLike<number>>>;

/** Shape of each parameter by name. */
export function shapesOf(json: ConfigJson): Record<string, number[]> {
  const { hidden, heads, kv, dim, inner, qkvBias, outBias, mlpBias, norms } = sizesOf(json);
  const shapes: Record<string, number[]> = { "model.embed_tokens.weight": [json.vocab_size, hidden] };
  for (let layer = 0; layer < json.num_hidden_layers; layer++) {
    const add = (name: string, ...shape: number[]) => shapes[`model.layers.${layer}.${name}`] = shape;
    add("input_layernorm.weight", hidden);
    for (const [name, rows] of [["q", heads * dim], ["k", kv * dim], ["v", kv * dim]] as const) {
      add(`self_attn.${name}_proj.weight`, rows, hidden);
      if (qkvBias) add(`self_attn.${name}_proj.bias`, rows);
    }
    add("self_attn.o_proj.weight", hidden, heads * dim);
    if (outBias) add("self_attn.o_proj.bias", hidden);
    if (norms) ["q", "k"].forEach((name) => add(`self_attn.${name}_norm.weight`, dim));
    add("post_attention_layernorm.weight", hidden);
    for (const name of ["gate", "up"]) {
      add(`mlp.${name}_proj.weight`, inner, hidden);
      if (mlpBias) add(`mlp.${name}_proj.bias`, inner);
    }
    add("mlp.down_proj.weight", hidden, inner);
    if (mlpBias) add("mlp.down_proj.bias", hidden);
  }
  shapes["model.norm.weight"] = [hidden];
  if (!json.tie_word_embeddings) shapes["lm_head.weight"] = [json.vocab_size, hidden];
  return shapes;
}

function sizesOf(json: ConfigJson) {
  const heads: number = json.num_attention_heads;
  const dim: number = json.head_dim ?? json.hidden_size / heads;
  const all = json.attention_bias === true;
  return {
    hidden: json.hidden_size as number,
    heads,
    kv: json.num_key_value_heads as number,
    dim,
    inner: json.intermediate_size as number,
    qkvBias: all || json.model_type === "qwen2",
    outBias: all && json.model_type !== "qwen2",
    mlpBias: json.mlp_bias === true,
    norms: json.model_type === "qwen3",
  };
}

/** Radians a position for each pair, and what cosines and sines are multiplied by. */
export function frequenciesOf(json: ConfigJson): { each: number[]; size: number } {
  const { dim } = sizesOf(json);
  const rope = json.rope_parameters ?? json.rope_scaling ?? {};
  const theta: number = rope.rope_theta ?? json.rope_theta ?? 10_000;
  const plain = Array.from({ length: dim / 2 }, (_, i) => 1 / theta ** (2 * i / dim));
  const type = rope.rope_type ?? rope.type ?? "default";
  if (type === "linear") return { each: plain.map((f) => f / rope.factor), size: 1 };
  const original = rope.original_max_position_embeddings;
  if (type === "llama3") {
    const each = plain.map((f) => {
      const wavelength = 2 * Math.PI / f;
      const [long, short] = [original / rope.low_freq_factor, original / rope.high_freq_factor];
      if (wavelength < short) return f;
      if (wavelength > long) return f / rope.factor;
      const smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      return (1 - smooth) * f / rope.factor + smooth * f;
    });
    return { each, size: 1 };
  }
  if (type === "yarn") {
    const at = (turns: number) => dim * Math.log(original / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    const low = Math.max(Math.floor(at(rope.beta_fast ?? 32)), 0);
    const high = Math.min(Math.ceil(at(rope.beta_slow ?? 1)), dim - 1);
    const each = plain.map((f, i) => {
      const kept = 1 - Math.min(1, Math.max(0, (i - low) / (high - low || 0.001)));
      return f / rope.factor * (1 - kept) + f * kept;
    });
    const mscale = (m: number) => 0.1 * m * Math.log(rope.factor) + 1;
    const both = rope.mscale && rope.mscale_all_dim;
    return { each, size: rope.attention_factor ?? (both ? mscale(rope.mscale) / mscale(rope.mscale_all_dim) : mscale(1)) };
  }
  return { each: plain, size: 1 };
}

type Rows = Float64Array[];

/** `rows` times the transposed weight, plus its bias where there is one. */
function linear(rows: Rows, weights: Weights, name: string): Rows {
  const weight = weights[`${name}.weight`];
  const bias = weights[`${name}.bias`];
  const width = rows[0].length;
  return rows.map((row) =>
    Float64Array.from({ length: weight.length / width }, (_, out) => {
      let sum = bias ? bias[out] : 0;
      for (let i = 0; i < width; i++) sum += row[i] * weight[out * width + i];
      return sum;
    })
  );
}

function rmsNorm(row: Float64Array, gain: ArrayLike<number>, epsilon: number): Float64Array {
  const mean = row.reduce((sum, x) => sum + x * x, 0) / row.length;
  return row.map((x, i) => x / Math.sqrt(mean + epsilon) * gain[i]);
}

/** Turns pairs (i, i + half) of each head, and normalises the head before if there is a gain. */
function turned(rows: Rows, json: ConfigJson, gain: ArrayLike<number> | undefined): Rows {
  const { dim } = sizesOf(json);
  const { each, size } = frequenciesOf(json);
  return rows.map((row, position) => {
    const out = new Float64Array(row.length);
    for (let start = 0; start < row.length; start += dim) {
      const head = row.slice(start, start + dim);
      const x = gain ? rmsNorm(head, gain, json.rms_norm_eps) : head;
      each.forEach((frequency, i) => {
        const [cos, sin] = [Math.cos(position * frequency) * size, Math.sin(position * frequency) * size];
        out[start + i] = x[i] * cos - x[i + dim / 2] * sin;
        out[start + i + dim / 2] = x[i + dim / 2] * cos + x[i] * sin;
      });
    }
    return out;
  });
}

function attention(rows: Rows, json: ConfigJson, weights: Weights, prefix: string): Rows {
  const { heads, kv, dim } = sizesOf(json);
  const gain = (name: string) => weights[`${prefix}.${name}_norm.weight`];
  const q = turned(linear(rows, weights, `${prefix}.q_proj`), json, gain("q"));
  const k = turned(linear(rows, weights, `${prefix}.k_proj`), json, gain("k"));
  const v = linear(rows, weights, `${prefix}.v_proj`);
  const mixed = rows.map((_, position) => {
    const out = new Float64Array(heads * dim);
    for (let head = 0; head < heads; head++) {
      const [from, to] = [head * dim, Math.floor(head * kv / heads) * dim];
      const scores = Array.from({ length: position + 1 }, (_, key) => {
        let sum = 0;
        for (let i = 0; i < dim; i++) sum += q[position][from + i] * k[key][to + i];
        return sum / Math.sqrt(dim);
      });
      const most = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - most));
      const total = powers.reduce((sum, power) => sum + power, 0);
      powers.forEach((power, key) => {
        for (let i = 0; i < dim; i++) out[from + i] += power / total * v[key][to + i];
      });
    }
    return out;
  });
  return linear(mixed, weights, `${prefix}.o_proj`);
}

const added = (a: Rows, b: Rows): Rows => a.map((row, at) => row.map((x, i) => x + b[at][i]));

/** Logits of the next token after each position, one row after another. */
export function float64Logits(json: ConfigJson, weights: Weights, ids: ArrayLike<number>): Float64Array {
  const { hidden } = sizesOf(json);
  const embedding = weights["model.embed_tokens.weight"];
  const norm = (rows: Rows, name: string) => rows.map((row) => rmsNorm(row, weights[`${name}.weight`], json.rms_norm_eps));
  let h: Rows = Array.from(ids, (id) => Float64Array.from({ length: hidden }, (_, i) => embedding[id * hidden + i]));
  for (let layer = 0; layer < json.num_hidden_layers; layer++) {
    const prefix = `model.layers.${layer}`;
    h = added(h, attention(norm(h, `${prefix}.input_layernorm`), json, weights, `${prefix}.self_attn`));
    const x = norm(h, `${prefix}.post_attention_layernorm`);
    const [gate, up] = ["gate", "up"].map((name) => linear(x, weights, `${prefix}.mlp.${name}_proj`));
    const inner = gate.map((row, at) => row.map((g, i) => g / (1 + Math.exp(-g)) * up[at][i]));
    h = added(h, linear(inner, weights, `${prefix}.mlp.down_proj`));
  }
  const head = json.tie_word_embeddings ? "model.embed_tokens" : "lm_head";
  const rows = linear(norm(h, "model.norm"), { "head.weight": weights[`${head}.weight`] }, "head");
  return Float64Array.from(rows.flatMap((row) => [...row]));
}
