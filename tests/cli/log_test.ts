import { openLog, openOverallLog } from "../../src/cli/log.ts";
import type { ProgressStream } from "../../src/cli/progress.ts";
import type { StepMetrics } from "../../src/train/log.ts";
import { deepEqual, equal, match, throws } from "../assert.ts";

const metrics = (step: number): StepMetrics => ({
  step,
  phase: "quantize",
  lossNats: 2.5,
  learningRate: 1e-3,
  gradientNorm: 0.75,
  pressure: 0.5,
  temperature: 0.35,
  tokensPerSecond: 4096.4,
});

/** A pipe that keeps its lines. */
function pipe(lines: string[] = []): ProgressStream {
  return {
    isTerminal: false,
    hasColour: false,
    columns: () => 80,
    write: (text) => void lines.push(...text.trimEnd().split("\n")),
  };
}

Deno.test("in a pipe the first and the last step are told, and one every few seconds between", () => {
  const lines: string[] = [];
  {
    using log = openLog({ stream: pipe(lines) });
    log.begin("Hestia", 50);
    for (let step = 1; step <= 50; step++) log.step(metrics(step));
  }
  deepEqual(lines, [
    "Hestia 1/50 · loss 2.500 · 4096 tokens/s · pressure 0.50 · temperature 0.350",
    "Hestia 50/50 · loss 2.500 · 4096 tokens/s · pressure 0.50 · temperature 0.350 · took 0.0 s",
  ]);
});

Deno.test({
  name: "where metrics cannot be written, that is said once, and training goes on",
  ignore: Deno.build.os !== "linux", // only there is a file that is always full
  fn() {
    const [said, error] = [[] as string[], console.error];
    console.error = (line: string) => void said.push(line);
    try {
      using log = openLog({ metricsPath: "/dev/full", stream: pipe() });
      log.begin("Hestia", 2);
      for (const step of [1, 2]) log.step(metrics(step));
    } finally {
      console.error = error;
    }
    equal(said.length, 1);
    match(said[0], /^no metrics from step 1 on, training goes on: \/dev\/full: the disk is full/);
  },
});

Deno.test("an interrupted phase tells its last step, and full precision has neither pressure nor temperature", () => {
  const lines: string[] = [];
  using log = openLog({ stream: pipe(lines) });
  log.begin("full precision", 50);
  for (const step of [1, 2, 3]) log.step({ ...metrics(step), pressure: undefined, temperature: undefined });
  log.end();
  equal(lines.length, 2);
  match(lines[1], /^full precision 3\/50 · loss 2\.500 · 4096 tokens\/s · ended after 0\.0 s$/);
});

Deno.test("metrics.jsonl gets one object a step, after those that are there", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const metricsPath = `${folder}/metrics.jsonl`;
    for (const steps of [[1, 2], [3]]) {
      using log = openLog({ metricsPath, stream: pipe() });
      log.begin("Hestia", 3);
      steps.forEach((step) => log.step(metrics(step)));
    }
    const lines = Deno.readTextFileSync(metricsPath).trimEnd().split("\n");
    deepEqual(lines.map((line) => JSON.parse(line)), [1, 2, 3].map(metrics));
    throws(() => openLog({ metricsPath: `${folder}/missing/metrics.jsonl` }), Deno.errors.NotFound);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a step that is not a number in JSON is still one line", () => {
  const folder = Deno.makeTempDirSync();
  try {
    using log = openLog({ metricsPath: `${folder}/m.jsonl`, stream: pipe() });
    log.step({ ...metrics(1), lossNats: NaN });
    equal(JSON.parse(Deno.readTextFileSync(`${folder}/m.jsonl`)).lossNats, null);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("an experiment shows how far all of it is, and its parts by name", () => {
  const lines: string[] = [];
  const log = openOverallLog([{ title: "base", cost: 10 }, { title: "rounded", cost: 10 }, { title: "ste", cost: 20 }], {
    stream: pipe(lines),
  });
  log.begin("base", 50);
  log.step(metrics(50));
  log.end();
  log.begin("ste", 50);
  log.step(metrics(25));
  log[Symbol.dispose]();
  match(lines[0], /^experiment 25 % · base 50\/50 · loss 2\.500 · /);
  match(lines.at(-1)!, /^experiment 75 % · ste 25\/50 · .* · ended after /);
  const whole: string[] = [];
  const done = openOverallLog([{ title: "base", cost: 10 }], { stream: pipe(whole) });
  done.begin("base", 50);
  done.step(metrics(1));
  done.complete();
  match(whole.at(-1)!, /^experiment 100 % · .* · took /);
});
