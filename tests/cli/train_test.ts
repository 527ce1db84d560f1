import { deepEqual, equal, match, ok } from "../assert.ts";
import type { RunSummary } from "../../src/cli/summary.ts";
import { readSafetensorsFile } from "../../src/io/safetensors_file.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { sampleText } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

/** The smallest run that has every phase. */
const tiny = {
  seed: 7,
  model: { hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, headDim: 32, intermediateSize: 64, initializerRange: 0.05 },
  batchSize: 2,
  sequenceLength: 16,
  pretrain: { steps: 9, warmupSteps: 1 },
  calibration: { probes: 2, batches: 2 },
  quantize: { groupSize: 64, steps: 8, warmupSteps: 1, hardSteps: 2, tieRule: "zero", scaleRule: "offset" },
  evaluation: { batches: 2 },
  sample: { prompt: "Call", tokens: 4 },
};

/** A model with rows of 44. */
const oddModel = () => ({
  ...initialModel(
    { vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 44 },
    { seed: 3 },
  ),
  tokenizer: byteTokenizer,
});

/** Calls `work` with a folder that holds a corpus and the configurations given, by name; it is removed afterwards. */
async function withConfigs(configs: Record<string, unknown>, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/corpus`, sampleText(4000));
    for (const [name, config] of Object.entries(configs)) {
      const data = { corpus: `${folder}/corpus` };
      await Deno.writeTextFile(`${folder}/${name}.json`, JSON.stringify({ data, ...config as object }));
    }
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));
const readLines = async (path: string) => (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));

Deno.test("deno task train runs every phase and leaves a complete folder, the same for the same seed", () =>
  withConfigs({ tiny }, async (folder) => {
    const [first, second] = await Promise.all(
      ["a", "b"].map((name) =>
        runCommand("train", ["--config", `${folder}/tiny.json`, "--output", `${folder}/${name}`, "--json"])
      ),
    );
    equal(first.code, 0, first.stderr);
    const summary = lastJson(first) as Record<string, Record<string, Record<string, number>>>;
    deepEqual(await readJson(`${folder}/a/summary.json`), summary);
    deepEqual(Object.keys(summary.seconds), ["pretrain", "calibrate", "evaluate", "quantize", "pack", "sample"]);
    equal(summary.packed.bitsPerWeight, 2.25);
    ok(Math.abs(summary.heldOut.packed.lossNats - summary.heldOut.quantized.lossNats) < 1e-3);
    match(first.stderr, /packed +\d\.\d{4} +\d+\.\d{3} +[\d.]+ KiB +2\.25/);

    const steps = await readLines(`${folder}/a/metrics.jsonl`);
    deepEqual(steps.map(({ phase }) => phase), [...Array(9).fill("pretrain"), ...Array(8).fill("quantize")]);
    deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
    deepEqual(
      Object.keys(steps[9]).sort(),
      "gradientNorm learningRate lossNats phase pressure step temperature tokensPerSecond".split(" "),
    );
    equal(steps.at(-1).temperature, 0);
    equal(steps.at(-1).pressure, 1);

    const { traces, scores, temperatureScales } = await readJson(`${folder}/a/calibration.json`);
    for (const record of [traces, scores, temperatureScales]) {
      equal(Object.keys(record).length, 7);
      ok("model.layers.0.self_attn.q_proj.weight" in record);
    }
    deepEqual((await readJson(`${folder}/a/model/config.json`)).hestia, {
      quantizer: "hestia",
      groupSize: 64,
      recipe: "hestia-2026",
      tieRule: "zero",
    });
    equal((await readJson(`${folder}/a/config.json`)).optimizer.beta2, 0.95);
    for (const file of ["base/model.safetensors", "model/model.safetensors", "model/tokenizer.json", "packed/model.gguf"]) {
      ok((await Deno.stat(`${folder}/a/${file}`)).isFile);
    }

    equal(second.code, 0, second.stderr);
    const losses = (list: typeof steps) => list.map(({ lossNats, gradientNorm }) => [lossNats, gradientNorm]);
    deepEqual(losses(await readLines(`${folder}/b/metrics.jsonl`)), losses(steps));
    deepEqual((await readJson(`${folder}/b/summary.json`)).heldOut, summary.heldOut);
    deepEqual((await readJson(`${folder}/b/summary.json`)).sample, summary.sample);
  }));

Deno.test("deno task train cuts phases, takes another seed, and calibrates only where temperatures are to be scaled", () =>
  withConfigs({ tiny: { ...tiny, quantize: { ...tiny.quantize, quantizer: "ternary" } } }, async (folder) => {
    const args = ["--config", `${folder}/tiny.json`, "--output", `${folder}/run`, "--max-steps", "3", "--seed", "11", "--json"];
    const { code, stderr } = await runCommand("train", args);
    equal(code, 0, stderr);
    equal((await readLines(`${folder}/run/metrics.jsonl`)).length, 6);
    equal((await readJson(`${folder}/run/config.json`)).seed, 11);
    ok(![...Deno.readDirSync(`${folder}/run`)].some(({ name }) => name === "calibration.json"));
  }));

Deno.test("deno task train starts from a model of somebody's, whose rows no block divides, and keeps what belongs to it", () =>
  withModelFolder({ ...oddModel(), beginToken: 1, endTokens: [2] }, async (folder) => {
    await Deno.writeFile(`${folder}/text`, sampleText(3000));
    const run = `${folder}/run`;
    const args = ["--model", `${folder}/model`, "--data", `${folder}/text`, "--output", run, "--cache", `${folder}/cache`];
    const more = ["--sequence-length", "16", "--batch-size", "2", "--steps", "6", "--group-size", "auto"];
    const refused = await runCommand("train", [...args, ...more]);
    deepEqual([refused.code, refused.stderr], [
      2,
      "error: command line: output.format q2_0 takes rows that are multiples of 64, and some have 16, 44; " +
      "what fits this model: bitnet with 0; dense with -1 or 0; f16 with -1 or 0\n",
    ]);
    const { code, stderr, ...finished } = await runCommand("train", [
      ...args,
      ...more,
      "--for",
      "dense",
      "--dtype",
      "bfloat16",
      "--json",
    ]);
    equal(code, 0, stderr);
    const { heldOut, base } = lastJson({ code, stderr, ...finished }) as unknown as RunSummary;
    equal(base, "base");
    const { quantize, pretrain } = await readJson(`${run}/config.json`);
    deepEqual([quantize.groupSize, quantize.steps, pretrain.steps], [-1, 6, 0]);
    const { bos_token_id, eos_token_id } = await readJson(`${run}/model/config.json`);
    deepEqual([bos_token_id, eos_token_id], [1, 2]);
    ok(![...Deno.readDirSync(run)].some(({ name }) => name === "base")); // it is where it was
    const stored = await readSafetensorsFile(`${run}/model/model.safetensors`);
    deepEqual([...new Set(stored.tensors.values().map(({ dtype }) => dtype))], ["BF16"]);
    const again = await runCommand("pack", ["--model", run, "--format", "dense", "--output", `${folder}/again`]);
    equal(again.code, 0, again.stderr); // what is packed is what is stored
    deepEqual(await Deno.readFile(`${folder}/again`), await Deno.readFile(`${run}/packed/model.safetensors`));
    const evaluated = await runCommand("evaluate", [
      ...["--model", `${run}/packed/model.safetensors`, "--data", `${folder}/text`, "--sequence-length", "16"],
      ...["--batch-size", "2", "--max-batches", "16", "--held-out", "0.1", "--cache", `${folder}/cache`, "--json"],
    ]);
    equal((lastJson(evaluated) as { lossNats: number }).lossNats, heldOut.packed.lossNats);
  }));

Deno.test("deno task train refuses bad input in one line, and leaves nothing behind", () => {
  const configs = {
    tiny,
    misspelt: { ...tiny, quantize: { groupsize: 64 } },
    group: { ...tiny, quantize: { groupSize: 100 } },
    wide: { ...tiny, quantize: { ...tiny.quantize, groupSize: 128 } },
    short: { ...tiny, sequenceLength: 500 },
    absent: { ...tiny, data: { corpus: "/nowhere/text" } },
  };
  return withConfigs(configs, async (folder) => {
    await Deno.writeTextFile(`${folder}/broken.json`, "{");
    await Deno.writeTextFile(`${folder}/file`, "");
    const cases: [string, string, RegExp][] = [
      [
        "misspelt",
        "run",
        /misspelt\.json: quantize\.groupsize is not a field \(did you mean "groupSize"\?\); there are steps, .*\n$/,
      ],
      [
        "group",
        "run",
        /group\.json: quantize\.groupSize 100 does not fit q2_0 and rows of 64; what fits this model: q2_0 with 64, -1 or 0; .*\n$/,
      ],
      ["wide", "run", /wide\.json: quantize\.groupSize 128 does not fit q2_0 and rows of 64; what fits this model: .*\n$/],
      ["short", "run", /the corpus .* is too short: its heldOut part has 400 tokens, .* sequenceLength 500 needs 501\n$/],
      ["absent", "run", /cannot read the corpus \/nowhere\/text: no such file or folder\n$/],
      ["none", "run", /cannot read the configuration .*none\.json: no such file or folder\n$/],
      ["broken", "run", /broken\.json is not JSON: .*\n$/],
      ["tiny", "file/run", /cannot .*file\/run.*\n$/],
      [
        "tiny",
        ".",
        /cannot write a run to .*: it holds other files, such as ".*"; wanted a new folder, or one of an earlier run\n$/,
      ],
    ];
    const results = await Promise.all(
      cases.map(([config, output]) =>
        runCommand("train", ["--config", `${folder}/${config}.json`, "--output", `${folder}/${output}`])
      ),
    );
    results.forEach(({ code, stderr }, index) => {
      match(stderr, cases[index][2]);
      match(stderr, /^error: [^\n]*\n$/);
      equal(code, 2, stderr);
    });
    ok(![...Deno.readDirSync(folder)].some(({ name }) => name === "run"));
  });
});

Deno.test("deno task train refuses an option that it does not know", async () => {
  const unknown = await runCommand("train", ["--sedd", "1"]);
  match(unknown.stderr, /^error: unknown option --sedd \(did you mean "--seed"\?\)/);
  equal(unknown.code, 2);
});

Deno.test("a run that diverges, or whose disk is full, ends in one line, and goes on once that is mended", () =>
  withConfigs(
    { wild: { ...tiny, pretrain: { ...tiny.pretrain, learningRate: 1e30 }, checkpoints: { everySteps: 1 } } },
    async (folder) => {
      const args = ["--config", `${folder}/wild.json`, "--output", `${folder}/run`];
      const diverged = await runCommand("train", args);
      equal(diverged.code, 1, diverged.stderr);
      match(
        diverged.stderr,
        /\nerror: Training diverged at step \d: loss .* "model\.\S+" holds (NaN|-?Infinity) at \d+.*; the newest checkpoint is of step \d of pretrain; .*run keeps what was done, and the same command goes on .*\n$/,
      );
      const config = { ...await readJson(`${folder}/wild.json`), pretrain: { ...tiny.pretrain, learningRate: 1e-3 } };
      await Deno.writeTextFile(`${folder}/wild.json`, JSON.stringify(config));
      const cut = await runCommand("train", [...args, "--fresh"], { killAfter: `${folder}/run/calibration.json` });
      equal(cut.code, 143, cut.stderr);
      match(cut.stderr, /the earlier run of .*run is now .*run\.1\n/);
      await Deno.writeTextFile(`${folder}/run/packed`, "in the way");
      await Deno.writeTextFile(
        `${folder}/wild.json`,
        JSON.stringify({ ...config, quantize: { ...tiny.quantize, learningRate: 2e-3 } }),
      );
      const blocked = await runCommand("train", args);
      equal(blocked.code, 1, blocked.stderr);
      match(blocked.stderr, /\nerror: Cannot make the folder ".*packed": a file is in the way; .*run keeps what was done, .*\n$/);
      await Deno.remove(`${folder}/run/packed`);
      const mended = await runCommand("train", args);
      equal(mended.code, 0, mended.stderr);
      match(mended.stderr, /run goes on behind step 8 of quantize; --fresh begins anew\n/);
      const { resumed } = await readJson(`${folder}/run/run.json`);
      deepEqual(resumed.map(({ changed }: { changed: string[] }) => changed), [["quantize.learningRate"], []]);
    },
  ));

for (const [signal, wanted] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`${signal} ends deno task train with exit code ${wanted}, behind a step that is on disk`, () =>
    withConfigs({ long: { ...tiny, pretrain: { steps: 100000 } } }, async (folder) => {
      const path = new URL("../../src/cli/train.ts", import.meta.url).pathname;
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", path, "--config", `${folder}/long.json`, "--output", `${folder}/run`],
        stdout: "null",
        stderr: "piped",
      }).spawn();
      const metrics = `${folder}/run/metrics.jsonl`;
      for (let tries = 0; tries < 600 && !((await Deno.stat(metrics).catch(() => undefined))?.size); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      child.kill(signal);
      const { code, stderr } = await child.output();
      equal(code, wanted);
      match(
        new TextDecoder().decode(stderr),
        /Interrupted: .*run keeps what was done, and the same command goes on with it\.\n$/,
      );
      const lines = await readLines(metrics);
      deepEqual(lines.map(({ step }) => step), lines.map((_, index) => index + 1));
      const states = [...Deno.readDirSync(`${folder}/run/checkpoints/pretrain`)].map(({ name }) => name);
      deepEqual(states, [`step-${String(lines.length).padStart(8, "0")}`]);
      ok(![...Deno.readDirSync(`${folder}/run`)].some(({ name }) => name === "base")); // the phase did not end
    }));
}
