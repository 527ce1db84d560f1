import { deepEqual, equal, match, ok } from "../assert.ts";
import type { RunView } from "../../src/report/run_page.ts";
import { thinned } from "../../src/report/thinned.ts";
import { sampleText } from "../support/models.ts";
import { runCommand } from "./run_command.ts";

/** The smallest run with all that a page shows. */
const tiny = {
  seed: 7,
  model: { hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, headDim: 32, intermediateSize: 64, initializerRange: 0.05 },
  batchSize: 2,
  sequenceLength: 16,
  pretrain: { steps: 5, warmupSteps: 1 },
  calibration: { probes: 2, batches: 2 },
  quantize: { groupSize: 64, steps: 40, warmupSteps: 0, hardSteps: 2, learningRate: 0.5 }, // so high that no step is better than the first ones
  evaluation: { batches: 2, everySteps: 2, patience: 3, sampleTokens: 3 },
  statistics: { everySteps: 3 },
  sample: { prompt: "</script><b>Call", tokens: 4 },
};

type Line = Readonly<Record<string, unknown>> & { readonly step: number; readonly phase: string };

const linesOf = async (path: string): Promise<Line[]> =>
  (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));

/** What a page was given to draw. */
async function dataOf(path: string): Promise<{ readonly runs: readonly RunView[] }> {
  const html = await Deno.readTextFile(path);
  equal(html.match(/<\/script>/g)!.length, html.match(/<script/g)!.length, "no text ends a script");
  ok(!/(src|href)="?https?:/.test(html), "it needs nothing besides itself");
  return JSON.parse(html.match(/id="data">(.*?)<\/script>/s)![1]);
}

/** The lines that columns came from. */
const rowsOf = (columns: Readonly<Record<string, readonly unknown[]>>) =>
  columns.step.map((_, at) =>
    Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[at]]).filter(([, value]) => value !== null))
  );

/** Trains once more, is stopped in quantized training, goes on, and ends as the run that was left alone. */
async function equalsStopped(
  { folder, run, lines }: { readonly folder: string; readonly run: string; readonly lines: readonly Line[] },
): Promise<void> {
  const again = `${folder}/again`;
  const args = ["--config", `${folder}/tiny.json`, "--output", again];
  const stopped = await runCommand("train", args, { killAfter: `${again}/checkpoints/best-quantize` });
  equal(stopped.code, 143, stopped.stderr);
  const went = await runCommand("train", args);
  equal(went.code, 0, went.stderr);
  match(went.stderr, /goes on behind step/);
  const compared = (all: readonly Line[]) =>
    // an evaluation is told at once, steps in bundles: their order in the file differs
    all.map(({ tokensPerSecond: _, ...line }) => JSON.stringify([line.phase, line.step, line])).sort();
  deepEqual(compared(await linesOf(`${again}/metrics.jsonl`)), compared(lines));
  const modelIn = (place: string) => Deno.readFile(`${place}/model/model.safetensors`);
  deepEqual(await modelIn(again), await modelIn(run));
}

/** Pages of several runs, and of none. */
async function pageOfSeveral(
  { folder, run, shown }: { readonly folder: string; readonly run: string; readonly shown: RunView },
): Promise<void> {
  const manifest = (await Deno.readTextFile(`${run}/run.json`)).replace(
    '"tensorboard": false',
    '"trackio": "http://h/?write_token=secret"',
  );
  await Deno.writeTextFile(`${run}/run.json`, manifest);
  const both = await runCommand("report", [run, `${run}/`, "--output", `${folder}/both.html`]);
  equal(both.code, 0, both.stderr);
  deepEqual((await dataOf(`${folder}/both.html`)).runs.map(({ metrics }) => metrics), [shown.metrics, shown.metrics]);
  const html = await Deno.readTextFile(`${folder}/both.html`);
  ok(html.includes("http://h/?write_token=…") && !html.includes("secret"), "a page is for others");
  const wrong = await runCommand("report", [folder]);
  equal(wrong.code, 2);
  match(wrong.stderr, /^error: cannot show .*: it holds no run; wanted a folder that deno task train has written\n$/);
}

Deno.test("a run that patience ends leaves its best model, also where it was stopped, and a page whose values are those of its files", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/corpus`, sampleText(4000));
    await Deno.writeTextFile(`${folder}/tiny.json`, JSON.stringify({ data: { corpus: `${folder}/corpus` }, ...tiny }));
    const run = `${folder}/run`;
    const { code, stderr, stdout } = await runCommand("train", ["--config", `${folder}/tiny.json`, "--output", run]);
    equal(code, 0, stderr);
    match(stdout, /run\/report\.html/);

    const lines = await linesOf(`${run}/metrics.jsonl`);
    const points = lines.filter(({ phase, heldOutLossNats }) => phase === "quantize" && heldOutLossNats !== undefined);
    const lossOf = ({ heldOutLossNats }: Line) => heldOutLossNats as number;
    const best = points.reduce((a, b) => lossOf(b) < lossOf(a) ? b : a);
    deepEqual(points.map(({ step }) => step), points.map((_, at) => 2 * at + 2));
    equal(points.at(-1)!.step - best.step, 6, "three evaluations that were no better");
    match(stderr, new RegExp(`quantize: no better since step ${best.step}`));
    const { heldOut } = JSON.parse(await Deno.readTextFile(`${run}/summary.json`));
    ok(Math.abs(heldOut.quantized.lossNats - lossOf(best)) < 1e-6, `${heldOut.quantized.lossNats}, best ${lossOf(best)}`);

    const { runs: [shown] } = await dataOf(`${run}/report.html`);
    for (const phase of ["pretrain", "quantize"]) {
      const own = lines.filter((line) => line.phase === phase).map(({ phase: _, ...line }) => line);
      deepEqual(rowsOf(shown.metrics[phase]), own.filter((line) => "lossNats" in line));
      deepEqual(rowsOf(shown.heldOut[phase]), own.filter((line) => "heldOutLossNats" in line));
    }
    const tensors = (await linesOf(`${run}/tensors.jsonl`)).filter(({ phase }) => phase === "quantize");
    deepEqual(shown.tensors.quantize.step, tensors.map(({ step }) => step));
    const name = "model.layers.0.self_attn.q_proj.weight";
    const flips = tensors.map(({ tensors }) => (tensors as Record<string, { flips?: number }>)[name].flips);
    deepEqual(
      shown.tensors.quantize.tensors[name].flips,
      flips.map((flip) => flip === undefined ? null : Number(flip.toPrecision(5))),
    );

    await equalsStopped({ folder, run, lines });

    await pageOfSeveral({ folder, run, shown });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("thousands of steps become few, as they are, with each peak among them", () => {
  const rows = Array.from(
    { length: 50_021 },
    (_, step) => ({ step, lossNats: Math.sin(step / 997) + (step === 31_337 ? 9 : 0) }),
  );
  const few = thinned(rows, 2000, "lossNats");
  ok(few.length <= 2000 && few.length > 1900, `${few.length}`);
  ok(few.every((row) => row === rows[row.step]));
  ok(few.includes(rows[31_337]) && few[0] === rows[0] && few.at(-1) === rows.at(-1));
  deepEqual(few.map(({ step }) => step), few.map(({ step }) => step).sort((a, b) => a - b));
  deepEqual(thinned(rows.slice(0, 7), 7, "lossNats"), rows.slice(0, 7));
});
