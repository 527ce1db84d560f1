import { gzip } from "../../src/io/gzip.ts";
import { deepEqual, equal, match } from "../assert.ts";
import { books, encode, rows, withFiles } from "../support/texts.ts";
import { lastJson, runCommand } from "./run_command.ts";

/** The smallest run that has every phase. */
const tiny = {
  seed: 7,
  data: { documentMask: true },
  model: { hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, headDim: 32, intermediateSize: 64, initializerRange: 0.05 },
  batchSize: 2,
  sequenceLength: 16,
  pretrain: { steps: 60, warmupSteps: 1 },
  calibration: { probes: 2, batches: 2 },
  quantize: { groupSize: 64, steps: 6, warmupSteps: 1, hardSteps: 2 },
  evaluation: { batches: 2 },
  sample: { prompt: "Book", tokens: 4 },
};

Deno.test("a folder of mixed files with broken rows trains, is stopped, and goes on with the same batches", () =>
  withFiles({
    ...Object.fromEntries(Object.entries(books).map(([name, content]) => [`texts/${name}`, content])),
    "texts/more.jsonl.gz": gzip(encode(rows({ text: "A page more." }, "[1", { text: "" }))),
    "texts/last.txt": "The last book. ".repeat(40),
    "tiny.json": JSON.stringify(tiny),
  }, async (folder) => {
    const args = (run: string) => [
      ...["--config", `${folder}/tiny.json`, "--data", `${folder}/texts`, "--cache", `${folder}/cache`],
      ...["--output", `${folder}/${run}`, "--json"],
    ];
    const whole = await runCommand("train", args("whole"));
    equal(whole.code, 0, whole.stderr);
    match(
      whole.stderr,
      /warning: 8 rows of ".*texts" passed over, which are no document:\n {2}".*book0\.jsonl" row 24: not JSON: broken\n/,
    );
    const path = new URL("../../src/cli/train.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", path, ...args("cut")],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const metrics = `${folder}/cut/metrics.jsonl`;
    for (let tries = 0; tries < 6000 && !((await Deno.stat(metrics).catch(() => undefined))?.size); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    child.kill("SIGINT");
    equal((await child.status).code, 130);
    const resumed = await runCommand("train", args("cut"));
    equal(resumed.code, 0, resumed.stderr);
    const losses = async (run: string) =>
      (await Deno.readTextFile(`${folder}/${run}/metrics.jsonl`)).trimEnd().split("\n").map((line) => JSON.parse(line).lossNats);
    deepEqual(await losses("cut"), await losses("whole"));
    deepEqual(lastJson(resumed).heldOut, lastJson(whole).heldOut);
  }));
