/** Recorded cases, and the judge itself: it must fail what is wrong. */

import { useBackend } from "../mod.ts";
import { type Case, readCases } from "../src/conformance/case.ts";
import { operations, pendingOperations } from "../src/conformance/operations.ts";
import { runCase, summarize } from "../src/conformance/run.ts";
import { type SafetensorsValues, writeSafetensors } from "../src/io/safetensors.ts";
import { deepEqual, equal, match, ok } from "./assert.ts";

/** Cases of both releases of the method. */
const folders = ["golden/", "golden2/"].map((name) => new URL(name, import.meta.url));
const deep = Deno.env.get("HESTIA_DEEP") === "1";

/** Of the operations whose cases take long, those that run every day: where each needs kernels of its own, one for each kind. */
const everydayCases: Readonly<Record<"reference" | "webgpu", Readonly<Record<string, RegExp>>>> = {
  reference: {
    trajectory: /^$/,
    hessian_traces: /^$/,
    hestia2_trajectory: /: (ste|hestia_accumulation2)$/,
  },
  webgpu: {
    trajectory: /hestia_hessian_style$/,
    llama: /small.*c0[0246]_/,
    hestia2_trajectory: /: hestia_accumulation2$/,
    hestia2_hessian_traces: /^$/,
    hestia2_llama: /small.*c(03|04|10)_|llama2\.safe.*c02_/,
    hestia2_hutchpp: /_(one|negative|full_deficient)$/,
    hestia2_fairy2i: /: (steps[12]_t0\.(3|0)|one|zero)/,
    hestia2_linear: /_(00|04|08|12|14|16|19|20)$/,
  },
};

function recordedCases(): Case[] {
  return folders.flatMap((folder) => {
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".safetensors")).sort();
    return names.flatMap((name) => readCases(Deno.readFileSync(new URL(name, folder)), { source: name }));
  });
}

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`the library computes what was recorded (${backend})`, async () => {
    await useBackend(backend);
    const results = [];
    const everyday = ({ op, name }: Case) => deep || (everydayCases[backend][op]?.test(name) ?? true);
    for (const recorded of recordedCases().filter(everyday)) {
      results.push(await runCase(recorded, { float32: backend === "webgpu", effort: deep ? "all" : "little" }));
    }
    deepEqual(results.filter(({ verdict }) => verdict === "failed").map(({ name, reason }) => `${name}: ${reason}`), []);
    for (const [op, group] of Object.entries(summarize(results).groups)) {
      ok(group.worstError !== null || op in pendingOperations, `nothing was compared in ${op}`);
    }
  });
}

Deno.test("every operation that was recorded is computed, or known to be pending", () => {
  const known = [...Object.keys(operations), ...Object.keys(pendingOperations)];
  deepEqual([...new Set(recordedCases().map(({ op }) => op))].filter((op) => !known.includes(op)), []);
  deepEqual(known.filter((op, index) => known.indexOf(op) !== index), []);
});

/** A file with one case of `swiglu` at gate 0, whose output is 0; `changes` replace fields, `y` what was recorded. */
function oneCase(
  changes: Record<string, unknown> = {},
  y: SafetensorsValues = { dtype: "F64", shape: [2], data: [0, 0] },
): Uint8Array {
  const two = (data: number[]): SafetensorsValues => ({ dtype: "F32", shape: [2], data });
  const tensors = { gate: two([0, 0]), up: two([1, 2]), g: two([1, 1]), y, dgate: two([0.5, 1]), dup: two([0, 0]) };
  const fields = {
    op: "swiglu",
    inputs: { gate: "gate", up: "up", g: "g" },
    outputs: { y: "y", dgate: "dgate", dup: "dup" },
    ...changes,
  };
  return writeSafetensors(tensors, { about: "{not a case", other: '{"no": "op"}', example: JSON.stringify(fields) });
}

const verdictOf = async (bytes: Uint8Array) => {
  await useBackend("reference");
  const [recorded, ...others] = readCases(bytes, { source: "file" });
  equal(others.length, 0);
  return await runCase(recorded, { float32: false });
};

Deno.test("a right case passes, and what was recorded but not compared is told", async () => {
  equal((await verdictOf(oneCase())).verdict, "passed");
  const outputs = { y: "y", dgate: "dgate", dup: "dup", extra: "y" };
  deepEqual((await verdictOf(oneCase({ outputs }))).uncompared, ["extra"]);
});

const wrong: [says: string, bytes: Uint8Array, reason: RegExp][] = [
  ["a wrong number", oneCase({}, { dtype: "F64", shape: [2], data: [0, 1e-8] }), /^y: 1\.0e\+0 > 1\.0e-9$/],
  ["a number that is none", oneCase({}, { dtype: "F64", shape: [2], data: [0, NaN] }), /^y: NaN/],
  ["a wrong length", oneCase({}, { dtype: "F64", shape: [3], data: [0, 0, 0] }), /^y: NaN/],
  ["an unknown op", oneCase({ op: "toString" }), /^unknown op "toString"$/],
  [
    "a missing input",
    oneCase({ inputs: { gate: "gate", up: "nowhere", g: "g" } }),
    /no tensor is recorded for "up" among its inputs/,
  ],
  ["a missing output", oneCase({ outputs: { y: "y", dup: "dup" } }), /no tensor is recorded for "dgate" among its outputs/],
  [
    "a missing parameter",
    oneCase({ op: "rmsnorm", inputs: { x: "gate", weight: "up", g: "g" } }),
    /parameter "eps" must be a number, got undefined/,
  ],
];
for (const [says, bytes, reason] of wrong) {
  Deno.test(`the judge fails ${says}`, async () => {
    const result = await verdictOf(bytes);
    equal(result.verdict, "failed");
    match(result.reason!, reason);
  });
}

Deno.test("summaries count", () => {
  const result = { name: "a", comparisons: [], uncompared: [] };
  const comparison = { role: "y", error: 1e-3, tolerance: 1e-2 };
  const summary = summarize([
    { ...result, op: "x", verdict: "passed", comparisons: [comparison] },
    { ...result, op: "x", verdict: "failed", reason: "wrong" },
    { ...result, op: "z", verdict: "skipped", reason: "later" },
  ]);
  equal(`${summary.cases} ${summary.failed} ${summary.skipped}`, "3 1 1");
  deepEqual(summary.groups.x, { cases: 2, failed: 1, skipped: 0, worstError: 1e-3, worstRatio: 0.1 });
  deepEqual(summary.skippedBecause, { later: 1 });
});

async function conformance(directory: string): Promise<{ code: number; out: string; error: string }> {
  const script = new URL("../src/cli/conformance.ts", import.meta.url).pathname;
  const args = ["run", "-A", script, directory, "--backend", "reference"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd();
  return { code, out: decode(stdout), error: decode(stderr) };
}

Deno.test("the command ends in a line of JSON, and in an exit code that tells", async () => {
  const directory = await Deno.makeTempDir();
  try {
    match((await conformance(directory)).error, /^error: .* holds no cases/);
    await Deno.writeFile(`${directory}/right.safetensors`, oneCase());
    const right = await conformance(directory);
    equal(right.code, 0);
    const { groups, ...counts } = JSON.parse(right.out.split("\n").at(-1)!);
    deepEqual([counts.cases, counts.failed, counts.skipped, groups.swiglu.cases], [1, 0, 0, 1]);
    await Deno.writeFile(`${directory}/wrong.safetensors`, oneCase({ op: "mystery" }));
    equal((await conformance(directory)).code, 1);
    await Deno.writeFile(`${directory}/torn.safetensors`, new Uint8Array(4));
    const torn = await conformance(directory);
    deepEqual([torn.code, torn.error.split("\n").length], [2, 1]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
