import { loadConfig, overrideConfig, resolveConfig } from "../../src/cli/config.ts";
import { deepEqual, equal, rejects, throws } from "../assert.ts";

Deno.test("an empty configuration is the default one, and resolving is idempotent", () => {
  const defaults = resolveConfig({});
  deepEqual(resolveConfig(JSON.parse(JSON.stringify(defaults))), defaults);
});

Deno.test("the quickstart configuration is valid and says what it means", async () => {
  const config = await loadConfig(new URL("../../configs/quickstart.json", import.meta.url).pathname);
  equal(config.data.corpus, "moby-dick");
  equal(config.model.vocabularySize, 256);
});

const refused: readonly [value: unknown, message: RegExp][] = [
  [{ modle: {} }, /^c\.json: modle is not a field \(did you mean "model"\?\); there are seed, data, model, batchSize/],
  [
    { model: { hidenSize: 64 } },
    /^c\.json: model\.hidenSize is not a field \(did you mean "hiddenSize"\?\); there are hiddenSize, /,
  ],
  [{ model: { hiddenSize: "128" } }, /^c\.json: model\.hiddenSize must be an integer of at least 1, got "128"$/],
  [{ pretrain: { style: "wsdd" } }, /^c\.json: pretrain\.style must be one of "wsd", .*, got "wsdd" \(did you mean "wsd"\?\)$/],
  [{ quantize: { quantizer: "hesta" } }, /^c\.json: quantize\.quantizer must be one of .*"hestia".*\(did you mean "hestia"\?\)$/],
  [{ quantize: { groupSize: 63 } }, /^c\.json: quantize\.groupSize must be 0 .*, -1 .* or a positive multiple of 64, got 63$/],
  [{ model: { hiddenSize: 192 } }, /^c\.json: model\.hiddenSize must be a multiple of 128 \(quantize\.groupSize\), got 192$/],
  [{ model: { heads: 3 } }, /^c\.json: model\.heads must be a multiple of model\.keyValueHeads, got 3 and 2$/],
  [{ model: { heads: 2, headDim: 33 } }, /^c\.json: model\.headDim must be even/],
  [{ model: { heads: 2, headDim: 96 } }, /^c\.json: model\.heads \* headDim must be a multiple of 128 .*, got 192$/],
  [{ model: { vocabularySize: 100 } }, /^c\.json: model\.vocabularySize must be an integer of at least 256, got 100$/],
  [{ pretrain: { steps: 3 } }, /^c\.json: pretrain\.warmupSteps must be at most pretrain\.steps, got 30 and 3$/],
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
  const short = overrideConfig(config, { seed: 7, maxSteps: 100 });
  deepEqual(
    [
      short.seed,
      short.pretrain.steps,
      short.pretrain.warmupSteps,
      short.quantize.steps,
      short.quantize.warmupSteps,
      short.quantize.hardSteps,
    ],
    [7, 100, 5, 100, 5, 10],
  );
  for (const maxSteps of [1, 2, 3, 1000]) resolveConfig(overrideConfig(config, { maxSteps }));
  deepEqual(overrideConfig(config, {}), config);
});
