/**
 * Mistakes that the tests must notice: each changes one place of the code, and names the few test files of which one fails then.
 *
 * @module
 */

/** One mistake. */
export interface Mutation {
  /** File under the project's root. */
  readonly file: string;
  /** Text that stands in it once. */
  readonly find: string;
  /** What stands in its place. */
  readonly replace: string;
  /** Test files under `tests/` that notice. */
  readonly tests: readonly string[];
}

/** Mistakes in one file. */
function inFile(
  file: string,
  tests: readonly string[],
  changes: readonly (readonly [find: string, replace: string])[],
): Mutation[] {
  return changes.map(([find, replace]) => ({ file, find, replace, tests }));
}

const hestia = ["quant/hestia_test.ts", "quant/ternary_test.ts"];
const schedules = ["quant/schedules_test.ts"];

const quantizers: readonly Mutation[] = [
  ...inFile("src/quant/groups.ts", hestia, [
    ["mean.add(scaleEpsilon)", "mean"],
    ["mean.maximum(scaleEpsilon)", "mean"],
    ["axes: axes.slice(1)", "axes"],
  ]),
  ...inFile("src/quant/codebook.ts", hestia, [
    ['tieRule === "lower" ? border.less(x)', 'tieRule === "zero" ? border.less(x)'],
    ["const middle = (code + codebook[index]) / 2;", "const middle = code - 0.4;"],
  ]),
  ...inFile("src/quant/relaxation.ts", hestia, [
    ["scaleGradient ? absmean : absmean.stopGradient()", "absmean"],
    ["1 / Math.max(temperature + offset, leastTemperature)", "1 / Math.max(temperature, leastTemperature)"],
    [".sub(code * code)", ".add(code * code)"],
    ["above.sub(below)", "below.sub(above)"],
    ["1 - pressure : constant(1)", "1 : constant(1)"],
    ["view.values.sub(view.values.stopGradient())", "view.values.stopGradient().sub(view.values.stopGradient())"],
  ]),
  ...inFile("src/quant/ternary.ts", hestia, [[
    '!rulesOf("weights", state).baselinePressure ? 1 : pressure',
    "true ? 1 : pressure",
  ]]),
  ...inFile("src/quant/phase.ts", ["quant/phase_test.ts"], [
    ["const scales = scaleGradient ? measured", "const scales = true ? measured"],
    [".maximum(minimumPhaseScale)", ""],
    ["signs.re.mul(signs.im).less(0).bitOr(y.equal(0))", "signs.re.mul(signs.im).less(0)"],
    ["a21.sub(a12).mul(0.5)", "a12.sub(a21).mul(0.5)"],
  ]),
  ...inFile("src/quant/integer.ts", ["quant/integer_test.ts", "quant/baselines_test.ts"], [
    ["2 ** (bits - 1) - 1", "2 ** (bits - 1)"],
    ["neg().round().maximum(0).minimum(top)", "neg().round()"],
    ["includeZero ? [low.minimum(0), high.maximum(0)]", "false ? [low.minimum(0), high.maximum(0)]"],
  ]),
  ...inFile("src/quant/twn.ts", ["quant/baselines_test.ts"], [["thresholdShare = 0.7", "thresholdShare = 0.75"]]),
  ...inFile("src/quant/seq.ts", ["quant/baselines_test.ts"], [["const clip = 0.99;", "const clip = 1;"]]),
];

const guidance: readonly Mutation[] = [
  ...inFile("src/quant/annealing.ts", schedules, [
    ["const { annealRatio = 1 - compressRatio } = rules;", "const { annealRatio = 0.8 } = rules;"],
    ["Math.min(progress / compressRatio, 1)", "progress / compressRatio"],
    ["hardSteps > 0 && step >= softSteps", "hardSteps > 0 && step > softSteps"],
    ["scale * (endTemperature +", "(endTemperature +"],
  ]),
  ...inFile("src/quant/guidance.ts", schedules, [
    ['statistics === "all" || quantized.has(name)', "true"],
    ["score === undefined ? 1 :", "score === undefined ? 0.9 :"],
    ['sensitive === "hotter" ? alpha : -alpha', "alpha"],
    ["Math.max(trace, minimumTrace)", "Math.abs(trace)"],
    ["Math.exp(-kappa *", "Math.exp(kappa *"],
  ]),
  ...inFile("src/recipes.ts", [...hestia, ...schedules, "optim/schedule_test.ts", "pipeline/recipes_test.ts"], [
    ['sensitive: "hotter", kappa', 'sensitive: "cooler", kappa'],
    ['warmupRounding: "up", decay', 'warmupRounding: "down", decay'],
    ['tieRule: "lower",\n      temperatureOffset: 0,', 'tieRule: "zero",\n      temperatureOffset: 0,'],
  ]),
  ...inFile("src/quant/hutch.ts", ["quant/hutch_test.ts"], [
    ["samples.size * (samples.size - 1)", "samples.size * samples.size"],
    ["columns.sub(basis.matmul(", "columns.add(basis.matmul("],
    ["pass < 2", "pass < 1"],
  ]),
  ...inFile("src/optim/schedule.ts", ["optim/schedule_test.ts"], [
    ["Math.floor(totalSteps * decayRatio)", "Math.round(totalSteps * decayRatio)"],
    ["step < Math.floor(totalSteps * stageBoundary)", "step < totalSteps * stageBoundary"],
    ["step >= totalSteps * stageBoundary;", "step >= Math.floor(totalSteps * stageBoundary);"],
    ["Math.max(1, totalSteps - start)", "Math.max(1, decaySteps)"],
    [' * (style === "twoStage" ? firstScale : 1)', ""],
    ['warmupStart === "minimum" ? minRatio : 0', "0"],
  ]),
  ...inFile("src/optim/adamw.ts", ["optim/adamw_test.ts"], [
    ["const moves = options.when ? isSound.bitAnd(", "const moves = options.when ? isSound.bitOr("],
    [".add(1e-6)).minimum(1)", ".add(1e-6))"],
    ["weightDecay !== 0 && decays(name)", "weightDecay !== 0"],
    ["step >= 1, ", "step >= 0, "],
  ]),
];

const data: readonly Mutation[] = [
  ...inFile("src/train/data.ts", ["train/data_test.ts", "pipeline/refusals_test.ts"], [
    ["Number.isInteger(id) && id >= 0 && id < vocabularySize", "id >= 0 && id < vocabularySize"],
    ["id >= 0 && id < vocabularySize", "id < vocabularySize"],
    ["tokens[start + at + 1]", "tokens[start + at]"],
    ["if (!isChecked) requireIds(", "if (isChecked) requireIds("],
  ]),
  ...inFile("src/io/encoding.ts", ["io/encoding_test.ts"], [
    ["markOf(bytes) ?? wideEncoding(bytes.subarray(0, sampleBytes))", "markOf(bytes)"],
    ['new TextDecoder("utf-8", { fatal: true })', 'new TextDecoder("utf-8")'],
    ["if (valid > invalid)", "if (valid < invalid)"],
  ]),
  ...inFile("src/llama/sample.ts", ["llama/generate_test.ts", "pipeline/refusals_test.ts"], [
    ["divisor.maximum(leastTemperature)", "divisor"],
    ["above.less(wanted).where(low, middle)", "above.less(wanted).where(middle, low)"],
    ["isFinite(top).reshape(ids.shape).where(ids, otherwise)", "ids"],
  ]),
];

const config = ["llama/config_test.ts"];
const tokenizers = ["tokenizer/encode_test.ts", "tokenizer/gguf_test.ts"];

const readers: readonly Mutation[] = [
  ...inFile("src/io/fields.ts", config, [
    ["if (allowUnknown) return", "if (!allowUnknown) return"],
    ["field.accepts && !field.accepts(value, file)", "false"],
  ]),
  ...inFile("src/llama/config_fields.ts", config, [
    [
      'partial_rotary_factor: only("share of a head that is rotated", 1),\n  layer_types',
      'partial_rotary_factor: only("", 0.5),\n  layer_types',
    ],
    ['value === "silu" || value === "swish"', 'typeof value === "string"'],
    ['value.every((type) => type === "full_attention")', "true"],
  ]),
  ...inFile("src/llama/rope_config.ts", config, [
    ["[parameters?.rope_theta, scaling?.rope_theta, json.rope_theta]", "[json.rope_theta]"],
    ["const found = ofParameters ?? ofScaling;", "const found = ofScaling;"],
    ["thetas.some((theta) => theta !== thetas[0])", "false"],
    ["short(ofParameters) !== short(ofScaling)", "false"],
    ["(yarnSize(factor) - 1) * Number(size) + 1", "yarnSize(factor) * Number(size)"],
  ]),
  ...inFile("src/nn/rotary.ts", config, [
    ["if (turns < lowFrequencyFactor) return frequency / factor;", "if (turns < lowFrequencyFactor) return frequency;"],
    ["truncate ? Math.floor(first) : first", "first"],
  ]),
  ...inFile("src/llama/families.ts", [...config, "llama/families_test.ts"], [
    ["value === false || value === true && neverLeft(file.sliding_window, file)", "true"],
    ["attention_bias ? attention : []), ...(mlp_bias", "attention_bias ? qkv : []), ...(mlp_bias"],
  ]),
  ...inFile("src/llama/companions.ts", config, [
    ["if (before.length < 2) return before[0];", "if (before.length < 2) return undefined;"],
    ["return tokenizerConfig === undefined && isId(named) ? named : undefined;", "return isId(named) ? named : undefined;"],
    ["id >= Number(config.vocab_size)", "id > Number(config.vocab_size)"],
    ["[config.eos_token_id, generation.eos_token_id]", "[generation.eos_token_id ?? config.eos_token_id]"],
  ]),
  ...inFile("src/llama/checkpoint_tensors.ts", ["llama/checkpoint_test.ts"], [
    ["if (a.some((value, index) => value !== b[index])) return false;", ""],
    ["if (known.has(name) || fieldNamed(ignoredTensors, name)) continue;", "continue;"],
  ]),
  ...inFile("src/llama/gguf_config.ts", [
    "llama/gguf_reader_test.ts",
    "pipeline/gguf_strict_test.ts",
    "pipeline/families_llama_cpp_test.ts",
  ], [
    ['read("scaling.factor") ?? read("scale_linear") ?? 0', 'read("scale_linear") ?? 0'],
    ["size === 1 ? yarnSize(factor)", "size === 1 ? 1"],
    ["if (value !== headDim)", "if (value > headDim)"],
  ]),
  ...inFile("src/tokenizer/gguf_read.ts", tokenizers, [
    ['if (typeof said === "boolean") return said;', ""],
    ["if (listed) return [...new Set([...listed.map(Number), ...named])];", ""],
    ["addsEnd ? ends.slice(0, 1) : []", "[]"],
  ]),
  ...inFile("src/tokenizer/gguf_write.ts", tokenizers, [
    ['normalizer !== "" && normalizer !== expected', "false"],
    ['const flag = lstrip ? "lstrip" : rstrip', "const flag = rstrip"],
  ]),
  ...inFile("src/pack/groups.ts", ["pipeline/formats_test.ts"], [["Math.abs(Math.fround(weights[i]))", "Math.abs(weights[i])"]]),
  ...inFile("src/core/options.ts", ["optim/schedule_test.ts", "train/data_test.ts"], [
    ["if (value === undefined || rule.holds(value)) continue;", "if (value !== null) continue;"],
    ["Number.isSafeInteger(value) && (value as number) >= minimum", "(value as number) >= minimum"],
  ]),
  ...inFile("src/tokenizer/config.ts", tokenizers, [["begins === templates.length > 0", "true"]]),
];

/** All of them. */
export const mutations: readonly Mutation[] = [...quantizers, ...guidance, ...data, ...readers];
