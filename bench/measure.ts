/**
 * Measuring work on the device: it is queued many times over, then one read waits for all of it.
 *
 * @module
 */

import { backendInfo, fastestKernels, tensor } from "../mod.ts";
import { table } from "../src/cli/table.ts";
import { ceilings } from "./ceilings.ts";
import { type Cost, cpuMilliseconds, decisiveClock, scriptMilliseconds } from "./clock.ts";

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

/** Best times of one repetition. */
interface Row {
  readonly work: string;
  readonly milliseconds: number;
  readonly cpuMilliseconds: number;
  /** By the wall clock. */
  readonly rate?: number;
  readonly unit?: string;
  /** Of the adapter's ceiling, 0 to 1, by the clock that counts. */
  readonly share?: number;
}

/** What a report says of the machine. */
interface Found {
  readonly adapter: string;
  readonly decisive: keyof Cost;
  /** Kernels that were picked by time. */
  readonly kernels: ReadonlyMap<string, string>;
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
  const best = new Map<string, Cost>();
  let found: Found = { adapter: "", decisive: "wall", kernels: new Map() };
  for (const work of [...ceilings, ...works, ...ceilings]) {
    let batch: Batch | undefined;
    Deno.bench(`${work.name}, a batch`, { n: 3, warmup: 1 }, async (timer) => {
      batch ??= await sized(work);
      const cost = await timed(batch, timer);
      const known = best.get(work.name) ?? cost;
      best.set(work.name, { cpu: Math.min(known.cpu, cost.cpu), wall: Math.min(known.wall, cost.wall) });
      found = {
        adapter: (await backendInfo()).description,
        decisive: await decisiveClock(),
        kernels: await fastestKernels(),
      };
    });
  }
  globalThis.addEventListener("unload", () => report(suite, found, [...ceilings, ...works], best));
}

/** Work of the library: `run` queues one repetition. */
export function runner(run: () => void): Runner {
  return { run, done: deviceDone };
}

/** Waits for all that was queued on the library's device, since reads are in order. */
export async function deviceDone(): Promise<void> {
  using fence = tensor([0]);
  await fence.data();
}

/** Repetitions that are timed together. */
export interface Batch extends Runner {
  readonly repetitions: number;
  readonly hostOnly: boolean;
}

/** Warms up, then chooses how many repetitions make a batch. */
export async function sized({ prepare, hostOnly = false }: Work): Promise<Batch> {
  const runner = await prepare();
  let batch: Batch = { ...runner, repetitions: 1, hostOnly };
  for (let warm = 0; warm < 2; warm++) await timed(batch);
  while (batch.repetitions < 4096 && (await timed({ ...batch, hostOnly: false })).wall * batch.repetitions < batchMilliseconds) {
    batch = { ...batch, repetitions: 2 * batch.repetitions };
  }
  return batch;
}

/** One repetition among those of a batch. */
export async function timed({ run, done, repetitions, hostOnly }: Batch, timer?: Deno.BenchContext): Promise<Cost> {
  const cpuClock = hostOnly ? scriptMilliseconds : cpuMilliseconds;
  timer?.start();
  const [cpu, wall] = [cpuClock(), performance.now()];
  for (let repetition = 0; repetition < repetitions; repetition++) run();
  if (!hostOnly) await done();
  const cost = { cpu: (cpuClock() - cpu) / repetitions, wall: (performance.now() - wall) / repetitions };
  timer?.end();
  await done();
  return cost;
}

function report(
  suite: string,
  { adapter, decisive, kernels }: Found,
  works: readonly Work[],
  best: ReadonlyMap<string, Cost>,
): void {
  const measured = works.filter(({ name }) => best.has(name)); // `deno bench --filter` runs some
  const rows = measured.map((work) => rowOf(work, { best, decisive }));
  const lines = rows.map(({ work, milliseconds, cpuMilliseconds, rate, unit, share }) => [
    work,
    digits(milliseconds),
    digits(cpuMilliseconds),
    rate === undefined ? "" : `${digits(rate)} ${unit}`,
    share === undefined ? "" : `${Math.round(100 * share)} %`,
  ]);
  console.log(`\n${adapter}: one repetition, best of all batches; shares of the ceiling by ${decisive} time\n`);
  console.log(table(["work", "milliseconds", "CPU", "rate", "of ceiling"], lines));
  for (const [shapeClass, kernel] of kernels) console.log(`${shapeClass}: by time ${kernel}`);
  console.log(JSON.stringify({ bench: suite, adapter, rows }, rounded));
}

/** Three significant digits. */
export const digits = (value: number) => value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });

/** Rounds numbers of a JSON line to four digits. */
export const rounded = (_: string, value: unknown) => typeof value === "number" ? Number(value.toPrecision(4)) : value;

/** What a repetition achieves, in the unit of its rate: the rate is `scaled` over seconds. */
export function amountOf(amount: NonNullable<Work["amount"]>): { readonly unit: string; readonly scaled: number } {
  const [[kind, value]] = Object.entries(amount) as [[keyof typeof units, number]];
  const { unit, scale } = units[kind];
  return { unit, scaled: value / scale };
}

function rowOf(
  { name, amount, hostOnly }: Work,
  { best, decisive }: { readonly best: ReadonlyMap<string, Cost>; readonly decisive: keyof Cost },
): Row {
  const cost = best.get(name)!;
  const row = { work: name, milliseconds: cost.wall, cpuMilliseconds: cost.cpu };
  if (!amount || hostOnly) return row;
  const { unit, scaled } = amountOf(amount);
  const ceiling = ceilings.find((each) => best.has(each.name) && amountOf(each.amount!).unit === unit);
  const rate = scaled / (cost.wall / 1000);
  if (!ceiling) return { ...row, rate, unit };
  const share = scaled / cost[decisive] / (amountOf(ceiling.amount!).scaled / best.get(ceiling.name)![decisive]);
  return { ...row, rate, unit, share };
}
