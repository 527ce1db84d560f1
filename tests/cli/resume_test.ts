import { RunStates } from "../../src/cli/run_states.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { train as runTraining } from "../../src/pipeline/train.ts";
import { newestState } from "../../src/train/checkpoints.ts";
import { batches } from "../../src/train/data.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";

/** The smallest run that has every phase, and writes a state at every step and every probe. */
const tiny = {
  seed: 7,
  model: { hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, headDim: 32, intermediateSize: 64, initializerRange: 0.05 },
  batchSize: 2,
  sequenceLength: 16,
  pretrain: { steps: 5, warmupSteps: 1 },
  calibration: { probes: 4, batches: 2, tolerance: 0 },
  quantize: { groupSize: 64, steps: 6, warmupSteps: 1, hardSteps: 2 },
  checkpoints: { everySeconds: 1e-6 },
  evaluation: { batches: 2 },
  sample: { prompt: "Call", tokens: 4 },
};

/** `deno task train`, behind a script that has something happen to it, with what that reads of the environment. */
async function train(
  folder: string,
  { output = "run", more = [], preload, env = {} }: {
    readonly output?: string;
    readonly more?: string[];
    readonly preload?: string;
    readonly env?: Record<string, string>;
  } = {},
) {
  const path = (name: string) => new URL(name, import.meta.url).pathname;
  const args = ["--config", `${folder}/tiny.json`, "--output", `${folder}/${output}`, ...more];
  const { code, signal, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", ...preload ? ["--preload", path(preload)] : [], path("../../src/cli/train.ts"), ...args],
    env: { NO_COLOR: "1", XDG_RUNTIME_DIR: "/tmp", ...env },
  }).output();
  return { code, signal, stderr: new TextDecoder().decode(stderr) };
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/corpus`, sampleText(4000));
    await Deno.writeTextFile(`${folder}/tiny.json`, JSON.stringify({ data: { corpus: `${folder}/corpus` }, ...tiny }));
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** All that two runs of one configuration have in common. */
async function outcome(run: string) {
  const text = (name: string) => Deno.readTextFile(`${run}/${name}`);
  const lines = (await text("metrics.jsonl")).trimEnd().split("\n");
  const { heldOut, gapClosed, sample, packed } = JSON.parse(await text("summary.json"));
  return {
    steps: lines.map((line) => (({ tokensPerSecond: _, ...metrics }) => metrics)(JSON.parse(line))),
    summary: { heldOut, gapClosed, sample, packed },
    calibration: await text("calibration.json"),
    base: await Deno.readFile(`${run}/base/model.safetensors`),
    model: await Deno.readFile(`${run}/model/model.safetensors`),
    packed: (await Deno.readFile(`${run}/packed/model.gguf`)).length,
  };
}

Deno.test("a run that is killed at any write, again and again, ends as one that was left alone: every loss, weight and packed byte", () =>
  inFolder(async (folder) => {
    const alone = await train(folder, { output: "alone/run" });
    equal(alone.code, 0, alone.stderr);
    const wanted = await outcome(`${folder}/alone/run`);
    const packed = await Deno.readFile(`${folder}/alone/run/packed/model.gguf`);
    // a run has about 600 writes; each process first reads what the one before left, and dies a little later
    const kills = deep
      ? Array.from({ length: 50 }, (_, index) => 3 + index * 37 % 190)
      : [3, 9, 62, 118, 160, 76, 36, 90, 160, 170, 80, 33];
    let done = 0;
    const places = new Set<string | undefined>();
    for (const dieAt of kills) {
      const { code, signal, stderr } = await train(folder, { preload: "dying.ts", env: { DIE_AT: `${dieAt}` } });
      places.add(stderr.match(/goes on (?:behind step \d+ of )?([^;]*)/)?.[1]);
      if (code === 0) { // it had less left to do; the next one begins anew, and moves this one aside
        deepEqual(await outcome(`${folder}/run`), wanted);
        deepEqual(await Deno.readFile(`${folder}/run/packed/model.gguf`), packed);
        done++;
      } else ok(signal === "SIGKILL", stderr);
    }
    const last = await train(folder);
    equal(last.code, 0, last.stderr);
    deepEqual(await outcome(`${folder}/run`), wanted);
    deepEqual(await Deno.readFile(`${folder}/run/packed/model.gguf`), packed);
    ok(places.has("pretrain") && places.has("quantize"), [...places].join());
    ok(deep || done < kills.length / 2, `${done} runs came to their end`);
  }));

Deno.test("a run whose device is lost, or whose disk is full, ends in the end as one that was left alone", () =>
  inFolder(async (folder) => {
    const alone = await train(folder, { output: "alone/run" });
    equal(alone.code, 0, alone.stderr);
    const lost = await train(folder, { preload: "losing.ts", env: { LOSE_AT: "17,60" } }); // in either phase of training
    equal(lost.code, 0, lost.stderr);
    equal(lost.stderr.match(/run goes on (behind step \d of \w+|from its beginning)\n/g)?.length, 2, lost.stderr);
    const wanted = await outcome(`${folder}/alone/run`);
    deepEqual(await outcome(`${folder}/run`), wanted);
    const full = await train(folder, { preload: "dying.ts", env: { FULL_AT: "40" }, output: "full/run" });
    equal(full.code, 1, full.stderr);
    ok(/no checkpoint of step \d, training goes on: Cannot write "[^"]*": the disk is full\n/.test(full.stderr), full.stderr);
    ok(
      /\nerror: Cannot write "[^"]*": the disk is full; [^\n]*run keeps what was done, [^\n]*\n$/.test(full.stderr),
      full.stderr,
    );
    const emptied = await train(folder, { output: "full/run" });
    equal(emptied.code, 0, emptied.stderr);
    deepEqual(await outcome(`${folder}/full/run`), wanted);
  }));

Deno.test("a device that is lost again and again, or short of memory, ends a run in one line; it keeps what it has", () =>
  inFolder(async (folder) => {
    const lost = await train(folder, { preload: "losing.ts", env: { LOSE_AT: "9,3,3,3,3,3" } });
    equal(lost.code, 1, lost.stderr);
    ok(
      /\nerror: [^\n]*The GPU was lost: [^\n]*run keeps what was done, and the same command goes on with it\n$/.test(lost.stderr),
      lost.stderr,
    );
    const short = await train(folder, { preload: "losing.ts", env: { SHORT_AT: "40" } });
    equal(short.code, 1, short.stderr);
    ok(
      /\nerror: The GPU is out of memory: [^\n]*; by plan, training takes [\d.]+ GB, with --recompute-every 1 [\d.]+ GB[^\n]*; [^\n]*\n$/
        .test(short.stderr),
      short.stderr,
    );
    const last = await train(folder);
    equal(last.code, 0, last.stderr);
    equal((await Deno.readTextFile(`${folder}/run/metrics.jsonl`)).trimEnd().split("\n").length, 11);
  }));

Deno.test("where states cannot be written, training goes on and says so, and the folder keeps what it had", async () => {
  const folder = await Deno.makeTempDir();
  const [said, error] = [[] as string[], console.error];
  try {
    const model = initialModel(
      { vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 24 },
      { seed: 5 },
    );
    const settings = { everySeconds: 1e-6, keep: 2 };
    console.error = (line: string) => void said.push(line);
    const states = await RunStates.open(folder, settings);
    const data = batches(sampleText(500), { batchSize: 1, sequenceLength: 8, seed: 1 });
    let steps = 0;
    for await (const event of runTraining(model, data, { steps: 4, ...states.options("pretrain") })) {
      if (event.type !== "step") continue;
      steps = event.step;
      await states.settled();
      if (steps === 2) await Deno.rename(`${folder}/checkpoints`, `${folder}/kept`);
      if (steps === 2) await Deno.writeTextFile(`${folder}/checkpoints`, "in the way");
    }
    await states.settled();
    equal(steps, 4);
    deepEqual(
      said.map((line) => line.replace(/: .*/, "")),
      [2, 3, 4].map((step) => `no checkpoint of step ${step}, training goes on`),
    );
    equal((await newestState(`${folder}/kept/pretrain`))!.state.step, 1);
    deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["checkpoints", "kept"]);
  } finally {
    console.error = error;
    await Deno.remove(folder, { recursive: true });
  }
});
