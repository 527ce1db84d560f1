/**
 * Measuring work on the device: it is queued many times over, then one read waits for all of it.
 *
 * @module
 */

import { backendInfo, tensor } from "../mod.ts";
import { table } from "../src/cli/table.ts";
import { ceilings } from "./ceilings.ts";

/** Queues one repetition of some work, freeing what it gives; waits for all that was queued. */
export interface Runner {
  readonly run: () => void;
  readonly done: () => Promise<unknown>;
}

/** Something to measure. */
export interface Work {
  readonly name: string;
  /** What one repetition achieves: arithmetic operations or bytes moved, which are held against a ceiling, or tokens. */
  readonly amount?: { readonly flop: number } | { readonly bytes: number } | { readonly tokens: number };
  /** Measures the host alone: the clock stops before the device is waited for. */
  readonly hostOnly?: boolean;
  /** Makes what is worked on. */
  prepare(): Promise<Runner>;
}

/** Best time of one repetition. */
interface Row {
  readonly work: string;
  readonly milliseconds: number;
  readonly rate?: number;
  readonly unit?: string;
  /** Of the adapter's ceiling, 0 to 1. */
  readonly share?: number;
}

/** Length of a batch: long against the wait for a read, which takes 10 ms on some platforms. */
const batchMilliseconds = 100;

const units = {
  flop: { unit: "GFLOP/s", scale: 1e9 },
  bytes: { unit: "GB/s", scale: 1e9 },
  tokens: { unit: "tokens/s", scale: 1 },
};

/**
 * Registers a bench for each work. When all have run, prints a table of one repetition each, then a JSON line. Ceilings are measured
 * first and last: on a machine that others use too, one of the two times may be a bad one.
 */
export function benchAll(suite: string, works: readonly Work[]): void {
  const best = new Map<string, number>();
  let adapter = "";
  for (const work of [...ceilings, ...works, ...ceilings]) {
    let batch: Batch | undefined;
    Deno.bench(`${work.name}, a batch`, { n: 3, warmup: 1 }, async (timer) => {
      batch ??= await sized(work);
      const milliseconds = await timed(batch, timer);
      best.set(work.name, Math.min(best.get(work.name) ?? Infinity, milliseconds));
      adapter = (await backendInfo()).description;
    });
  }
  globalThis.addEventListener("unload", () => report(suite, adapter, [...ceilings, ...works], best));
}

/** Work of the library: `run` queues one repetition. */
export function runner(run: () => void): Runner {
  return { run, done: deviceDone };
}

/** Waits for all that was queued on the library's device, since reads are in order. */
async function deviceDone(): Promise<void> {
  using fence = tensor([0]);
  await fence.data();
}

interface Batch extends Runner {
  readonly repetitions: number;
  readonly hostOnly: boolean;
}

/** Warms up, then chooses how many repetitions make a batch. */
async function sized({ prepare, hostOnly = false }: Work): Promise<Batch> {
  const runner = await prepare();
  let batch: Batch = { ...runner, repetitions: 1, hostOnly };
  for (let warm = 0; warm < 2; warm++) await timed(batch);
  while (batch.repetitions < 4096 && await timed({ ...batch, hostOnly: false }) * batch.repetitions < batchMilliseconds) {
    batch = { ...batch, repetitions: 2 * batch.repetitions };
  }
  return batch;
}

/** Milliseconds of one repetition among those of a batch. */
async function timed({ run, done, repetitions, hostOnly }: Batch, timer?: Deno.BenchContext): Promise<number> {
  timer?.start();
  const start = performance.now();
  for (let repetition = 0; repetition < repetitions; repetition++) run();
  if (!hostOnly) await done();
  const end = performance.now();
  timer?.end();
  await done();
  return (end - start) / repetitions;
}

function report(suite: string, adapter: string, works: readonly Work[], best: ReadonlyMap<string, number>): void {
  const measured = works.filter(({ name }) => best.has(name)); // `deno bench --filter` runs some
  const rates = measured.map((work) => rowOf(work, best.get(work.name)!));
  const rows = rates.map((row): Row => {
    const ceiling = rates.find(({ work, unit }) => unit === row.unit && ceilings.some(({ name }) => name === work))?.rate;
    return ceiling && row.rate ? { ...row, share: row.rate / ceiling } : row;
  });
  const lines = rows.map(({ work, milliseconds, rate, unit, share }) => [
    work,
    digits(milliseconds),
    rate === undefined ? "" : `${digits(rate)} ${unit}`,
    share === undefined ? "" : `${Math.round(100 * share)} %`,
  ]);
  console.log(`\n${adapter}: one repetition, best of all batches\n`);
  console.log(table(["work", "milliseconds", "rate", "of ceiling"], lines));
  const rounded = (_: string, value: unknown) => typeof value === "number" ? Number(value.toPrecision(4)) : value;
  console.log(JSON.stringify({ bench: suite, adapter, rows }, rounded));
}

/** Three significant digits. */
const digits = (value: number) => value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });

function rowOf({ name, amount, hostOnly }: Work, milliseconds: number): Row {
  if (!amount || hostOnly) return { work: name, milliseconds };
  const [[kind, value]] = Object.entries(amount) as [[keyof typeof units, number]];
  const { unit, scale } = units[kind];
  return { work: name, milliseconds, rate: value / scale / (milliseconds / 1000), unit };
}
