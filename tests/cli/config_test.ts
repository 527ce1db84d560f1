import { loadConfig, overrideConfig, resolveConfig } from "../../src/cli/config.ts";
import { runConfig } from "../../src/cli/train_options.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { deepEqual, equal, ok, rejects, throws } from "../assert.ts";

Deno.test("an empty configuration is the default one, and resolving is idempotent", () => {
  const defaults = resolveConfig({});
  deepEqual(resolveConfig(JSON.parse(JSON.stringify(defaults))), defaults);
});

Deno.test("the quickstart configuration is valid and says what it means", async () => {
  const config = await loadConfig(new URL("../../configs/quickstart.json", import.meta.url).pathname);
  equal(config.data.corpus, "moby-dick");
  ok(!("path" in config.model) && config.model.vocabularySize === 256);
  const { quantize, calibration, pretrain } = config;
  deepEqual([config.recipe, quantize.scaleRule, quantize.scaleGradient, quantize.tieRule], [
    "hestia-2025",
    "clamped",
    true,
    "zero",
  ]);
  deepEqual([quantize.initialTemperature, quantize.compressRatio, quantize.annealRatio], [0.350885250959, 0.2, 0.8]);
  deepEqual([calibration.alpha, calibration.sensitive, calibration.curvature], [0.4, "cooler", "gauss-newton"]);
  deepEqual([pretrain.warmupStart, config.objective.divisor], ["zero", "predicted"]);
});

Deno.test("a configuration follows the release of 2026, or another, but for the fields that it gives", () => {
  const { quantize, calibration, pretrain, objective } = resolveConfig({});
  deepEqual([quantize.scaleRule, quantize.scaleGradient, quantize.tieRule, quantize.initialTemperature], [
    "offset",
    false,
    "lower",
    0.3,
  ]);
  deepEqual([calibration.alpha, calibration.sensitive, calibration.minimumTrace], [0.4, "hotter", 1e-12]);
  deepEqual([pretrain.warmupStart, objective.divisor, quantize.annealRatio], ["minimum", "labels", undefined]);
  const mixed = resolveConfig({
    recipe: "hestia-2025",
    pretrain: { warmupStart: "minimum" },
    quantize: { scaleGradient: false, scaleEpsilon: 1e-4, annealRatio: 0.7 },
    calibration: { sensitive: "hotter" },
  });
  deepEqual([mixed.quantize.scaleGradient, mixed.quantize.scaleEpsilon, mixed.quantize.annealRatio], [false, 1e-4, 0.7]);
  deepEqual([mixed.quantize.scaleRule, mixed.quantize.warmupStart, mixed.pretrain.warmupStart], ["clamped", "zero", "minimum"]);
  deepEqual([mixed.calibration.sensitive, mixed.calibration.alpha], ["hotter", 0.5]);
  deepEqual([mixed.calibration.curvature, resolveConfig({ calibration: { estimator: "hutch++" } }).calibration.curvature], [
    "gauss-newton",
    "hessian",
  ]);
});

Deno.test("a group size of auto is what the format holds best of the model's rows", () => {
  const sizeFor = (model: object, format?: string) =>
    resolveConfig({ model, quantize: { groupSize: "auto" }, output: format ? { format } : {} }).quantize.groupSize;
  equal(sizeFor({}), 128);
  equal(sizeFor({ hiddenSize: 576, intermediateSize: 1536 }), 64); // rows of 576, 128 and 1536
  equal(sizeFor({ hiddenSize: 960, heads: 15, keyValueHeads: 5, headDim: 64, intermediateSize: 2560 }, "q4_0"), 64);
  equal(sizeFor({ intermediateSize: 172 }, "dense"), -1);
  equal(sizeFor({ intermediateSize: 172 }, "bitnet"), 0);
});

Deno.test("a model that somebody trained is not trained in full precision unless asked", () => {
  const { pretrain, model } = resolveConfig({ model: { path: "x" } });
  deepEqual([model, pretrain.steps, pretrain.warmupSteps], [{ path: "x" }, 0, 0]);
  equal(resolveConfig({ model: { path: "x" }, pretrain: { steps: 50 } }).pretrain.steps, 50);
  const large: LlamaConfig = {
    ...{ vocabularySize: 128256, hiddenSize: 2048, layers: 16, heads: 32, keyValueHeads: 8, headDim: 64, intermediateSize: 8192 },
    ...{ normEpsilon: 1e-5, ropeTheta: 500_000, tieEmbeddings: true, maxPositions: 131072 },
  };
  const chosen = (value: object, given = large) => {
    const { sequenceLength, quantize: { learningRate } } = resolveConfig({ model: { path: "x" }, ...value }, "c.json", given);
    return [sequenceLength, learningRate];
  };
  deepEqual(chosen({}), [1024, 1e-4]); // Llama-3.2-1B
  deepEqual(chosen({ sequenceLength: 64, quantize: { learningRate: 3e-4 } }), [64, 3e-4]);
  const small = { ...large, hiddenSize: 128, heads: 2, keyValueHeads: 2, layers: 2, intermediateSize: 256, maxPositions: 512 };
  deepEqual(chosen({ quantize: { steps: 100, hardSteps: 10 } }, small), [512, 2e-3]);
  throws(() => chosen({ sequenceLength: 513 }, small), {
    message: "c.json: sequenceLength must be at most 512, the longest context of the model, got 513",
  });
});

const refused: readonly [value: unknown, message: RegExp][] = [
  [{ modle: {} }, /^c\.json: modle is not a field \(did you mean "model"\?\); there are recipe, seed, data, model, batchSize/],
  [
    { model: { hidenSize: 64 } },
    /^c\.json: model\.hidenSize is not a field \(did you mean "hiddenSize"\?\); there are hiddenSize, /,
  ],
  [{ model: { hiddenSize: "128" } }, /^c\.json: model\.hiddenSize must be an integer of at least 1, got "128"$/],
  [{ pretrain: { style: "wsdd" } }, /^c\.json: pretrain\.style must be one of "wsd", .*, got "wsdd" \(did you mean "wsd"\?\)$/],
  [{ quantize: { quantizer: "hesta" } }, /^c\.json: quantize\.quantizer must be one of .*"hestia".*\(did you mean "hestia"\?\)$/],
  [
    { quantize: { groupSize: 63 } },
    /^c\.json: quantize\.groupSize 63 does not fit q2_0 and rows of 128, 384; what fits this model: q2_0 with 64, 128, -1 or 0; q4_0 /,
  ],
  [
    { quantize: { groupSize: "all" } },
    /^c\.json: quantize\.groupSize must be 0 .*, -1 .*, a number of weights, or "auto", got "all"$/,
  ],
  [
    { model: { hiddenSize: 192 } },
    /^c\.json: quantize\.groupSize 128 does not fit q2_0 and rows of 192, 128, 384; what fits this model: q2_0 with 64, -1 or 0; /,
  ],
  [
    { model: { intermediateSize: 172 } },
    /^c\.json: output\.format q2_0 takes rows that are multiples of 64, and some have 172; what fits this model: bitnet with 0; dense with -1 or 0; f16 with -1 or 0$/,
  ],
  [{ model: { path: "x", hiddenSize: 64 } }, /^c\.json: model\.hiddenSize is not a field; there are path$/],
  [{ model: { heads: 3 } }, /^c\.json: model\.heads must be a multiple of model\.keyValueHeads, got 3 and 2$/],
  [{ model: { heads: 2, headDim: 33 } }, /^c\.json: model\.headDim must be even/],
  [{ model: { heads: 2, headDim: 96 } }, /^c\.json: quantize\.groupSize 128 does not fit q2_0 and rows of 128, 192, 384; /],
  [{ model: { vocabularySize: 100 } }, /^c\.json: model\.vocabularySize must be an integer of at least 256, got 100$/],
  [{ pretrain: { steps: 3, warmupSteps: 30 } }, /^c\.json: pretrain\.warmupSteps must be at most pretrain\.steps, got 30 and 3$/],
  [
    { evaluation: { patience: 3 } },
    /^c\.json: evaluation\.patience counts evaluations while training: evaluation\.everySteps .* must say when, got none$/,
  ],
  [{ trackers: { trackio: "localhost" } }, /^c\.json: trackers\.trackio must be an address such as http:.*, got "localhost"$/],
  [{ quantize: { hardSteps: 400 } }, /^c\.json: quantize\.hardSteps must be below quantize\.steps, got 400 and 400$/],
  [{ data: { heldOutFraction: 0 } }, /^c\.json: data\.heldOutFraction must be a number from 0\.001 to 0\.9, got 0$/],
  [{ seed: -1 }, /^c\.json: seed must be an integer of at least 0, got -1$/],
  [{ batchSize: 0 }, /^c\.json: batchSize must be an integer of at least 1, got 0$/],
  [{ optimizer: { clipNorm: null } }, /^c\.json: optimizer\.clipNorm must be a number above 0, got null$/],
  [{ sample: { prompt: "" } }, /^c\.json: sample\.prompt must be text that is not empty, got ""$/],
  [{ data: [] }, /^c\.json: data must be an object, got \[\]$/],
  [[], /^c\.json: a configuration must be an object, got \[\]$/],
];

for (const [value, message] of refused) {
  Deno.test(`resolveConfig() refuses ${JSON.stringify(value)} in one line`, () => {
    throws(() => resolveConfig(value, "c.json"), { name: "UsageError", message });
  });
}

Deno.test("loadConfig() tells a missing file from one that is not JSON", async () => {
  await rejects(loadConfig("no/such.json"), { message: "cannot read the configuration no/such.json: no such file or folder" });
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, '{\n  "seed": one\n}\n');
  await rejects(loadConfig(path), { name: "UsageError", message: /^\/.* is not JSON: .*$/ });
  await Deno.remove(path);
  await rejects(loadConfig("LICENSE"), { name: "UsageError", message: /^LICENSE is not JSON: .*$/ });
});

Deno.test("overrideConfig() shortens phases in proportion and stays valid", () => {
  const config = resolveConfig({
    pretrain: { steps: 600, warmupSteps: 30 },
    quantize: { steps: 400, warmupSteps: 20, hardSteps: 40 },
  });
  const lengths = (
    { pretrain, quantize }: typeof config,
  ) => [pretrain.steps, pretrain.warmupSteps, quantize.steps, quantize.warmupSteps, quantize.hardSteps];
  deepEqual(lengths(overrideConfig(config, { maxSteps: 100 })), [100, 5, 100, 5, 10]);
  deepEqual(lengths(overrideConfig(config, { steps: 800 })), [600, 30, 800, 40, 80]);
  deepEqual(lengths(overrideConfig(config, { steps: 800, maxSteps: 200 })), [200, 10, 200, 10, 20]);
  for (const maxSteps of [1, 2, 3, 1000]) resolveConfig(overrideConfig(config, { maxSteps }));
  deepEqual(overrideConfig(config, {}), config);
});

Deno.test("docs/CONFIGURATION.md lists every field with its defaults", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/CONFIGURATION.md", import.meta.url));
  const rows = [...page.matchAll(/^\| `([\w.]+)` +\| (.*?) \|/gm)].map(([, name, value]) => [name, value.trim()] as const);
  const listed = (value: unknown): string[] => {
    const message = rejection(value);
    return /; there are (.*)$/.exec(message)![1].split(", ");
  };
  const sections = listed({ unknown: 1 });
  const leaf = (name: string, value: unknown) => /must be an object/.test(rejection({ [name]: value }));
  const fields = sections.flatMap((name) =>
    leaf(name, []) ? listed({ [name]: { unknown: 1 } }).map((field) => `${name}.${field}`) : [name]
  );
  deepEqual(rows.map(([name]) => name).filter((name) => name !== "model.path").sort(), fields.sort());
  const [now, before] = (["hestia-2026", "hestia-2025"] as const).map((recipe) => resolveConfig({ recipe }));
  for (const [name, said] of rows.filter(([name]) => !["optimizer.undecayed", "recipe"].includes(name))) {
    const [value, older] = [now, before].map((config) => valueAt(config, name));
    equal(said, older === value ? value : `${value} ${older}`, name);
  }
});

function rejection(value: unknown): string {
  try {
    resolveConfig(value);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** A field as the page writes it. */
function valueAt(config: unknown, name: string): string {
  const value = name.split(".").reduce((at, part) => (at as Record<string, unknown>)?.[part], config);
  return value === undefined ? "–" : `\`${JSON.stringify(value)}\``;
}

Deno.test("a warm-up takes a twentieth of the steps where nobody says how many", () => {
  const { pretrain, quantize } = resolveConfig({ pretrain: { steps: 7 }, quantize: { steps: 119, warmupSteps: 6 } });
  deepEqual([pretrain.warmupSteps, quantize.warmupSteps], [0, 6]);
  equal(resolveConfig({ quantize: { steps: 119 } }).quantize.warmupSteps, 5);
});

Deno.test("--data takes the place of the text of a configuration, whichever kind each is", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  for (const given of [{ sources: ["a"] }, { corpus: "a.txt" }, {}]) {
    await Deno.writeTextFile(file, JSON.stringify({ data: { ...given, heldOutFraction: 0.2 } }));
    const dataOf = async (data: string) => (await runConfig({ config: file, data })).config.data;
    const [novel, files] = [await dataOf("moby-dick"), await dataOf("b.txt")];
    deepEqual([novel.corpus, novel.sources, files.sources, novel.heldOutFraction], ["moby-dick", undefined, ["b.txt"], 0.2]);
  }
  await Deno.remove(file);
});
