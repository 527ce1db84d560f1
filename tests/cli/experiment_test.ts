import { loadExperimentConfig, settingsOf } from "../../src/cli/experiment_config.ts";
import { parameterShapes } from "../../src/llama/parameters.ts";
import { deepEqual, equal, match, ok, rejects } from "../assert.ts";
import { sampleText } from "../support/models.ts";
import { lastJson, runCommand } from "./run_command.ts";

/** The smallest experiment that has every part. */
const tiny = {
  seed: 7,
  model: { hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, headDim: 32, intermediateSize: 64, initializerRange: 0.05 },
  batchSize: 2,
  sequenceLength: 16,
  pretrain: { steps: 9, warmupSteps: 1 },
  calibration: { probes: 2, batches: 2 },
  quantize: { groupSize: 64, steps: 9, warmupSteps: 1, hardSteps: 2 },
  evaluation: { batches: 2 },
  experiment: { points: 3, curveBatches: 1, cost: { tokens: [32], rounds: 1 }, learningRates: { ste: 0.002 } },
};

async function withFolder(work: (folder: string) => Promise<void>, config: unknown = tiny): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/corpus`, sampleText(4000));
    await Deno.writeTextFile(
      `${folder}/tiny.json`,
      JSON.stringify({ data: { corpus: `${folder}/corpus` }, ...config as object }),
    );
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));

/** What does not depend on the machine's speed. */
function lasting({ results, summaries }: Record<string, never>): unknown {
  const { arms, ...rest } = results as { arms: { secondsPerStep?: number }[] };
  return { ...rest, summaries, arms: arms.map(({ secondsPerStep: _, ...arm }) => arm) };
}

Deno.test("deno task experiment goes on where it was killed, and ends as if it had not been", () =>
  withFolder(async (folder) => {
    const args = ["--config", `${folder}/tiny.json`, "--seeds", "2", "--arms", "rounded,ste,hestia-0.4,full-precision"];
    const path = new URL("../../src/cli/experiment.ts", import.meta.url).pathname;
    const killed = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", path, ...args, "--output", `${folder}/killed`],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const whole = runCommand("experiment", [...args, "--output", `${folder}/whole`, "--json"]);
    const exists = (file: string) => Deno.stat(`${folder}/killed/${file}`).then(() => true, () => false);
    while (!await exists("seed-7/ste.json")) await new Promise((resolve) => setTimeout(resolve, 20));
    killed.kill("SIGKILL");
    await killed.status;
    ok(!await exists("results.json"), "it was done before it could be killed");
    const { code, stderr } = await runCommand("experiment", [...args, "--output", `${folder}/killed`]);
    equal(code, 0, stderr);
    ok(!/seed 7, (base|absmean STE)/.test(stderr), "what was stored was run again");
    match(stderr, /^seed-7\/ste: kept from an earlier run; remove .*seed-7\/ste\.json to have it made again$/m);
    match(stderr, /seed 8, Hestia/);

    const { code: first, stderr: said, ...finished } = await whole;
    equal(first, 0, said);
    match(said, /^about [\d.]+ (s|min)/m);
    deepEqual(lasting(await readJson(`${folder}/killed/results.json`)), lasting(await readJson(`${folder}/whole/results.json`)));

    const summary = lastJson({ code: first, stderr: said, ...finished }) as { summaries: { arm: string; difference: unknown }[] };
    deepEqual(summary.summaries.map(({ arm }) => arm), ["full-precision", "rounded", "ste", "hestia-0.4"]);
    match(
      await Deno.readTextFile(`${folder}/whole/results.md`),
      /^\| arm \| held-out loss[^]*\| Hestia, α = 0\.4 \| \d\.\d{4} ± \d\.\d{4} \|/,
    );
    await checkReport(await Deno.readTextFile(`${folder}/whole/report.html`));

    const again = await runCommand("experiment", [...args, "--output", `${folder}/whole`]);
    match(again.stderr, /^everything is there already$/m);
  }));

/** Every chart is there, and nothing in them is broken. */
function checkReport(html: string): void {
  const charts = [...html.matchAll(/<svg [^>]*aria-label="([^"]*)"/g)].map(([, title]) => title);
  deepEqual(charts, [
    "Held-out loss of each arm",
    "Difference to absmean STE",
    "Training loss of each arm",
    "Held-out loss of each arm on the way, rounded; fewer batches than the final figures",
    "Training loss of each arm less that of absmean STE",
    "Training loss of the base",
    "Temperature of each tensor, Hestia, α = 0.4, first seed",
    "Pressure of every tensor: share of the relaxed weight in the weight that is used",
    "Gauss-Newton traces: trace of each weight's own block, by layer and component",
    "Weights, full precision, trained on",
    "Weights, absmean STE",
    "Weights, Hestia, α = 0.4",
    "Weights with |w / s| within 0.05 of ½",
    "Weights that change their code in a step",
    "Weights with code zero",
    "CPU time over full precision at 32 tokens a step (%)",
  ]);
  ok(!/NaN|undefined|Infinity|null/.test(html));
  ok(!/https?:(?!\/\/www\.w3\.org)/.test(html));
}

Deno.test("deno task experiment distils, and refuses bad input in one line", () =>
  withFolder(async (folder) => {
    const args = ["--config", `${folder}/tiny.json`, "--output", `${folder}/run`];
    const cases: [string[], RegExp][] = [
      [
        ["--arms", "stee"],
        /^error: --arms: there is no arm "stee" \(did you mean "ste"\?\); wanted all, or some of full-precision, /,
      ],
      [["--distill-temperature", "2"], /^error: --distill-temperature and --distill-top-k need --distill WEIGHT\n$/],
      [["--distill", "2"], /^error: --distill must be a number from 0 to 1, got "2"\n$/],
      [["--seeds", "0"], /^error: --seeds must be an integer from 1 to 1000, got "0"\n$/],
    ];
    const refused = await Promise.all(cases.map(([flags]) => runCommand("experiment", [...args, ...flags])));
    refused.forEach(({ code, stderr }, index) => {
      match(stderr, cases[index][1]);
      equal(code, 2);
    });
    const short = [...args, "--arms", "ste", "--seeds", "1", "--max-steps", "2"];
    const flags = ["--distill", "0.5", "--distill-temperature", "2", "--distill-top-k", "4"];
    const { code, stderr } = await runCommand("experiment", [...short, ...flags]);
    equal(code, 0, stderr);
    const { settings, results } = await readJson(`${folder}/run/results.json`);
    deepEqual(settings.distillation, { weight: 0.5, temperature: 2, topK: 4 });
    equal(results.arms[0].trainingLosses.length, 2);
    const { heldOut } = results.arms[0];
    await runCommand("experiment", short); // the stored result was distilled: this one is another
    ok((await readJson(`${folder}/run/results.json`)).results.arms[0].heldOut.lossNats !== heldOut.lossNats);
  }));

Deno.test("deno task experiment trains variants from scratch, each by its own schedule and curvature", () =>
  withFolder(async (folder) => {
    const args = ["--config", `${folder}/tiny.json`, "--output", `${folder}/run`, "--seeds", "1", "--max-steps", "4"];
    const { code, stderr } = await runCommand("experiment", args);
    equal(code, 0, stderr);
    const { results, settings, summaries, costs } = await readJson(`${folder}/run/results.json`);
    equal(settings.pretrain.steps, 0);
    deepEqual(summaries.map(({ label }: { label: string }) => label), ["absmean STE", "late", "guided"]);
    deepEqual(costs.map(({ label }: { label: string }) => label), ["absmean STE", "late"]);
    const [, late, guided] = results.arms;
    deepEqual(late.pressures, [1, 1, 1, 1]); // a compress ratio of 0
    ok(late.temperatures[1] > 0.2 && late.temperatures[2] === 0 && late.temperatures[3] === 0); // 5 of 9 steps hard: 2 of 4
    ok(guided.temperatures[0] > late.temperatures[0]); // on average, as released in 2026
    deepEqual(results.bases[0].trainingLosses, []);
    deepEqual(Object.keys(results.calibrations[7]), ["gauss-newton"]);
    const html = await Deno.readTextFile(`${folder}/run/report.html`);
    match(html, /drawn at random with one seed, then every arm trained them from scratch for 4 steps/);
    match(html, /Gauss-Newton traces by 2 gradients/);
    match(html, /Difference to late/);
    deepEqual(summaries.map(({ difference }: { difference: unknown }) => difference === null), [false, true, false]);
    for (const chart of ["Temperature of each arm", "Pressure of each arm", "Gauss-Newton traces:"]) {
      match(html, new RegExp(chart));
    }
    ok(!/Training loss of the base|NaN|undefined|Infinity/.test(html));
  }, {
    ...tiny,
    pretrain: { steps: 0, warmupSteps: 0 },
    experiment: {
      ...tiny.experiment,
      arms: ["ste", "late", "guided"],
      baseline: "late",
      variants: {
        late: { of: "hestia", label: "late", compressRatio: 0, hardSteps: 5, endTemperature: 0.2 },
        guided: { of: "hestia-0.4", label: "guided", alpha: 0.6, curvature: "gauss-newton", learningRate: 0.003 },
      },
    },
  }));

Deno.test("variants and lists of arms that cannot be are refused", async () => {
  const late = { of: "hestia", label: "late" };
  const cases: [unknown, RegExp][] = [
    [{ variants: { late: { ...late, of: "hestie" } } }, /variants\.late\.of: hestie is not an arm \(did you mean "hestia"\?\)/],
    [{ variants: { ste: late } }, /experiment\.variants\.ste is an arm already: wanted another name$/],
    [{ variants: { "a/b": late } }, /experiment\.variants\.a\/b must be named in lower-case letters, digits, \. and -$/],
    [
      { variants: { late: { ...late, hardSteps: 9 } } },
      /variants\.late\.hardSteps must be below quantize\.steps, got 9 and 9$/,
    ],
    [{ baseline: "stee" }, /experiment\.baseline: stee is not an arm \(did you mean "ste"\?\)/],
    [{ arms: ["lat"], variants: { late } }, /experiment\.arms: lat is not an arm \(did you mean "late"\?\)/],
  ];
  for (const [experiment, message] of cases) {
    await withFolder(async (folder) => {
      await rejects(() => loadExperimentConfig(`${folder}/tiny.json`), message);
    }, { ...tiny, experiment });
  }
});

Deno.test("text and models that an experiment would not use are refused", async () => {
  for (const [field, value] of Object.entries({ data: { sources: ["a.jsonl"] }, model: { path: "a" } })) {
    await withFolder(async (folder) => {
      await rejects(() => loadExperimentConfig(`${folder}/tiny.json`), /: (data\.sources|model\.path) is for deno task train; /);
    }, { ...tiny, [field]: value });
  }
});

Deno.test("a rate for an arm that there is not is refused", () =>
  withFolder(async (folder) => {
    const { code, stderr } = await runCommand("experiment", ["--config", `${folder}/tiny.json`, "--output", `${folder}/run`]);
    match(
      stderr,
      /tiny\.json: experiment\.learningRates\.sta is not an arm \(did you mean "ste"\?\); there are full-precision, /,
    );
    equal(code, 2);
  }, { ...tiny, experiment: { learningRates: { sta: 0.1 } } }));

Deno.test("the configurations that come with the project are experiments of the sizes they promise", async () => {
  const millions = async (name: string) => {
    const { model } = settingsOf(await loadExperimentConfig(new URL(`../../configs/${name}.json`, import.meta.url).pathname));
    const shapes = parameterShapes(
      { ...model, headDim: model.headDim!, tieEmbeddings: true } as Parameters<typeof parameterShapes>[0],
    );
    return Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((product, length) => product * length, 1), 0) / 1e6;
  };
  const names = ["experiment", "experiment-settings", "experiment-scratch", "experiment-medium", "experiment-large", "cost"];
  const [standard, settings, scratch, medium, large, cost] = await Promise.all(names.map(millions));
  ok(standard > 0.1 && standard < 0.2, `${standard}`);
  deepEqual([settings, scratch], [standard, standard]);
  ok(medium > 0.3 && medium < 0.6, `${medium}`);
  ok(large > 10 && large < 30, `${large}`);
  ok(cost > 0.9 && cost < 1.2, `${cost}`);
});
