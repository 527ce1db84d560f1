/**
 * `deno task conformance`: recorded cases against this library.
 *
 * @module
 */

import { type Case, readCases } from "../conformance/case.ts";
import { type CaseResult, type GroupSummary, runCase, summarize } from "../conformance/run.ts";
import { useBackend } from "../runtime.ts";
import type { Command, Option, Positional } from "./args.ts";
import { UsageError } from "./errors.ts";
import { type Context, main } from "./main.ts";
import { progress } from "./progress.ts";
import { formatSeconds, table } from "./table.ts";

/** Cases of the code of 2025, and of the release of 2026. */
const recordedFolders = ["tests/golden", "tests/golden2"];

const command = {
  name: "conformance",
  summary: "Run recorded cases through the public API, and compare with what was recorded.",
  options: {
    backend: {
      type: "string",
      choices: ["webgpu", "reference"],
      value: "NAME",
      description: "Device; by default WebGPU where there is one",
    },
    deep: {
      type: "boolean",
      description: "Compare what takes many minutes too: the exact traces of every weight (also by HESTIA_DEEP=1)",
    },
    verbose: { type: "boolean", description: "Print a line for each case" },
  },
  positionals: {
    directory: { description: `Folder of safetensors files with cases (default: ${recordedFolders.join(" and ")})` },
  },
} as const satisfies Command<Record<string, Option>, Record<string, Positional>>;

/** Cases of every safetensors file of a folder, by file name. */
async function casesIn(directory: string): Promise<Case[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(directory)) if (name.endsWith(".safetensors")) names.push(name);
  } catch (error) {
    throw new UsageError(`cannot read the folder ${directory}: ${(error as Error).message}`);
  }
  const cases: Case[] = [];
  for (const name of names.sort()) {
    try {
      cases.push(...readCases(await Deno.readFile(`${directory}/${name}`), { source: name }));
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  }
  if (cases.length === 0) {
    throw new UsageError(`${directory} holds no cases: wanted safetensors files whose metadata name an "op"`);
  }
  return cases;
}

const exponent = (value: number | null) => value === null ? "–" : value.toExponential(1);

function groupRow([op, group]: [string, GroupSummary]): (string | number)[] {
  const { cases, failed, skipped, worstError, worstRatio } = group;
  const verdict = failed > 0 ? `${failed} failed` : skipped === cases ? "skipped" : skipped > 0 ? `ok, ${skipped} skipped` : "ok";
  return [op, cases, exponent(worstError), exponent(worstRatio), verdict];
}

function caseLine({ name, verdict, comparisons, reason }: CaseResult): string {
  const worst = comparisons.reduce((max, { error }) => Math.max(max, error), 0);
  return `${verdict.padEnd(7)} ${name}  ${comparisons.length > 0 ? exponent(worst) : ""}${reason ? `  ${reason}` : ""}`;
}

/** About how long a case of an operation takes, in seconds on a software driver; those that are not named take next to none. */
const usualSeconds: Readonly<Record<string, number>> = {
  phase: 0.1,
  hutchpp_matrix: 0.5,
  mlp_traces: 1,
  hessian_traces: 180,
  llama_block: 1.4,
  llama: 2.4,
  trajectory: 11,
};

const costOf = ({ op }: Pick<Case, "op">): number => usualSeconds[op] ?? 0.03;

async function conform(
  cases: readonly Case[],
  backend: string | undefined,
  { deep, verbose, signal, print }: Pick<Context, "signal" | "print"> & { deep: boolean; verbose: boolean },
) {
  const { name } = await useBackend(backend as "webgpu" | "reference" | undefined);
  const started = performance.now();
  const results: CaseResult[] = [];
  using shown = progress({ title: "cases", total: cases.reduce((sum, each) => sum + costOf(each), 0), unit: "%" });
  let cost = 0;
  for (const recorded of cases) {
    signal.throwIfAborted();
    const begun = performance.now();
    const result = await runCase(recorded, { float32: name === "webgpu", effort: deep ? "all" : "usual" });
    results.push(result);
    const seconds = (performance.now() - begun) / 1000;
    shown.update(cost += costOf(recorded), `${results.length} of ${cases.length} · ${recorded.op}`);
    if (verbose || result.verdict === "failed") print(`${caseLine(result)}  ${seconds.toFixed(2)} s`);
  }
  shown.done();
  const summary = summarize(results);
  print(table(["group", "cases", "worst error", "of tolerance", "verdict"], Object.entries(summary.groups).map(groupRow)));
  for (const [reason, count] of Object.entries(summary.skippedBecause)) print(`skipped ${count}: ${reason}`);
  for (const [op, roles] of Object.entries(summary.uncompared)) print(`not compared in ${op}: ${roles.join(", ")}`);
  for (const [op, parts] of Object.entries(summary.partly)) print(`compared in ${op}: ${parts.join(", ")}`);
  print(`${cases.length} cases on ${name} in ${formatSeconds((performance.now() - started) / 1000)}`);
  return { backend: name, ...summary };
}

if (import.meta.main) {
  await main(command, async ({ directory, backend, deep: asked, verbose, json }, context) => {
    const deep = asked || Deno.env.get("HESTIA_DEEP") === "1";
    const cases: Case[] = [];
    for (const folder of directory === undefined ? recordedFolders : [directory]) cases.push(...await casesIn(folder));
    const { backend: name, ...summary } = await conform(cases, backend, { ...context, deep, verbose });
    const last = { ...summary, backend: name };
    if (!json) console.log(JSON.stringify(last));
    return { summary: last, exitCode: summary.failed > 0 ? 1 : 0 };
  });
}
