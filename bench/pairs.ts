/**
 * Two ways to the same result, measured in turns: what else runs on the machine slows both.
 *
 * @module
 */

import { backendInfo } from "../mod.ts";
import { table } from "../src/cli/table.ts";
import type { Cost } from "./clock.ts";
import { type Batch, digits, rounded, type Runner, sized, timed } from "./measure.ts";

/** What is measured, and what it is held against. */
export interface Pair {
  readonly name: string;
  readonly fast: () => Promise<Runner>;
  readonly plain: () => Promise<Runner>;
}

/** Best times of one repetition of each. */
interface PairRow {
  readonly work: string;
  readonly fast: Cost;
  readonly plain: Cost;
}

/** Batches of each in one run of a bench; `deno bench` makes a few runs of each bench. */
const turns = 2;

/** Registers a bench for each pair. When all have run, prints a table of times and of how many times as long the plain way takes, then a JSON line. */
export function benchPairs(suite: string, pairs: readonly Pair[]): void {
  const rows = new Map<string, PairRow>();
  let adapter = "";
  for (const { name, fast, plain } of pairs) {
    let batches: readonly Batch[] | undefined;
    Deno.bench(name, { n: 1, warmup: 0 }, async (timer) => {
      batches ??= [await sized({ name, prepare: fast }), await sized({ name, prepare: plain })];
      timer.start();
      for (let turn = 0; turn < turns; turn++) {
        const [a, b] = [await timed(batches[0]), await timed(batches[1])];
        const { fast: c, plain: d } = rows.get(name) ?? { fast: a, plain: b };
        rows.set(name, { work: name, fast: best(a, c), plain: best(b, d) });
      }
      timer.end();
      adapter = (await backendInfo()).description;
    });
  }
  globalThis.addEventListener("unload", () => report(suite, adapter, [...rows.values()]));
}

const best = (a: Cost, b: Cost): Cost => ({ cpu: Math.min(a.cpu, b.cpu), wall: Math.min(a.wall, b.wall) });

function report(suite: string, adapter: string, rows: readonly PairRow[]): void {
  const lines = rows.map(({ work, fast, plain }) => {
    const numbers = [fast.cpu, plain.cpu, plain.cpu / fast.cpu, fast.wall, plain.wall, plain.wall / fast.wall];
    return [work, ...numbers.map(digits)];
  });
  console.log(`\n${adapter}: milliseconds of one repetition, best of all batches, in turns\n`);
  console.log(table(["work", "CPU", "plain", "ratio", "wall", "plain", "ratio"], lines));
  console.log(JSON.stringify({ bench: suite, adapter, rows }, rounded));
}
