/**
 * `deno task bench:peers`: Hestia beside jax-js and TensorFlow.js, on the same adapter, in turns.
 *
 * @module
 */

import { backendInfo } from "../../mod.ts";
import type { Command } from "../../src/cli/args.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { main } from "../../src/cli/main.ts";
import { table } from "../../src/cli/table.ts";
import { ceilings } from "../ceilings.ts";
import { type Cost, cpuMilliseconds, decisiveClock } from "../clock.ts";
import { amountOf, digits, rounded } from "../measure.ts";
import { compareRow, type Contender, type Entry, type Outcome } from "./compare.ts";
import { allRows, type Row } from "./rows.ts";

/** Libraries are loaded when they are needed, so that `--help` needs none. */
const contenders: readonly Contender[] = [
  { name: "hestia", open: async () => await (await import("./hestia.ts")).open() },
  { name: "jax-js jit", open: async () => await (await import("./jax.ts")).openJit() },
  { name: "jax-js eager", open: async () => await (await import("./jax.ts")).openEager() },
  { name: "tfjs", open: async () => await (await import("./tfjs.ts")).open() },
];

const command = {
  name: "bench:peers",
  summary:
    "Times Hestia beside @jax-js/jax 0.1.25 and @tensorflow/tfjs 4.22.0 on the same adapter, in turns, results checked first.",
  options: {
    rows: {
      type: "string",
      value: "A,B",
      description: `Rows to compare, all by default: ${allRows.map(({ id }) => id).join(", ")}`,
    },
    rounds: {
      type: "integer",
      minimum: 1,
      default: 3,
      description: "Turns of ours and of the better peer, where 8 s of CPU time suffice",
    },
  },
} as const satisfies Command;

function chosen(ids: string | undefined): readonly Row[] {
  if (ids === undefined) return allRows;
  return ids.split(",").map((id) => {
    const row = allRows.find((each) => each.id === id.trim());
    if (!row) throw new UsageError(`--rows knows ${allRows.map((each) => each.id).join(", ")}, got "${id.trim()}"`);
    return row;
  });
}

/** Milliseconds for each FLOP or byte that the adapter needs at best, by the unit of the rate. */
async function measuredCeilings(): Promise<ReadonlyMap<string, Cost>> {
  const best = new Map<string, Cost>();
  for (const { amount, prepare } of ceilings) {
    const { run, done } = await prepare();
    const { unit, scaled } = amountOf(amount!);
    for (let batch = 0; batch < 5; batch++) {
      const [cpu, wall] = [cpuMilliseconds(), performance.now()];
      run();
      await done();
      const cost = { cpu: (cpuMilliseconds() - cpu) / scaled, wall: (performance.now() - wall) / scaled };
      const known = best.get(unit) ?? cost;
      best.set(unit, { cpu: Math.min(known.cpu, cost.cpu), wall: Math.min(known.wall, cost.wall) });
    }
  }
  return best;
}

/** Ours against the adapter: the rate by the wall clock, and the share of the ceiling. */
function efficiency(
  { amount }: Row,
  { cost }: Entry,
  { ceilings, decisive }: { readonly ceilings: ReadonlyMap<string, Cost>; readonly decisive: keyof Cost },
): { rate?: number; unit?: string; share?: number } {
  if (!amount || !cost) return {};
  const { unit, scaled } = amountOf(amount);
  const ceiling = ceilings.get(unit);
  return {
    rate: scaled / (cost.wall / 1000),
    unit,
    share: ceiling && ceiling[decisive] / (cost[decisive] / scaled),
  };
}

/** Whether a row reaches what is wanted of it, and where not, what it misses. */
function verdict(row: Row, { entries: [ours], ratio }: Outcome, decisive: keyof Cost): string {
  const missed: string[] = [];
  if (!ours.cost || ours.wrong) return ours.failed ? "failed" : "wrong";
  if (ratio && ratio[decisive] < row.wanted) missed.push(`${digits(ratio[decisive] / row.wanted)} of the ratio`);
  if (row.wantedDispatches !== undefined && ours.dispatches! > row.wantedDispatches) {
    missed.push(`${ours.dispatches} kernels, wanted ${row.wantedDispatches}`);
  }
  if (row.wantedHostMilliseconds !== undefined && ours.cost[decisive] > row.wantedHostMilliseconds) {
    missed.push(`${digits(ours.cost[decisive])} ms, wanted ${row.wantedHostMilliseconds}`);
  }
  if (!ratio) return "no peer is right";
  return missed.length === 0 ? "met" : `missed: ${missed.join("; ")}`;
}

/** Both times, and the number of kernels. */
function cell({ failed, wrong, cost, dispatches }: Entry): string {
  if (failed !== undefined || !cost) return "failed";
  return `${wrong ? "wrong " : ""}${digits(cost.cpu)} / ${digits(cost.wall)} / ${dispatches}`;
}

if (import.meta.main) {
  await main(command, async ({ rows, rounds }, { print, signal }) => {
    const wanted = chosen(rows);
    const decisive = await decisiveClock();
    const { description: adapter } = await backendInfo();
    const limits = await measuredCeilings();
    const results: { row: Row; outcome: Outcome }[] = [];
    for (const row of wanted) {
      if (signal.aborted) break;
      const outcome = await compareRow(row, contenders, { rounds, decisive });
      results.push({ row, outcome });
      const times = outcome.entries.map((entry) => `${entry.library} ${cell(entry)}`).join(", ");
      print(`${row.title}: ${verdict(row, outcome, decisive)} (${times})`);
      for (const { library, failed, wrong, error } of outcome.entries) {
        if (failed !== undefined) print(`  ${library} failed: ${failed}`);
        if (wrong) print(`  ${library} is wrong: relative error ${digits(error!)}`);
      }
    }
    print(
      `\n${adapter}: milliseconds of CPU / wall / kernels; ratios are of ${decisive} time, the better correct peer's over ours\n`,
    );
    const lines = results.map(({ row, outcome }) => {
      const { rate, unit, share } = efficiency(row, outcome.entries[0], { ceilings: limits, decisive });
      return [
        row.title,
        ...outcome.entries.map(cell),
        outcome.ratio ? `${digits(outcome.ratio[decisive])} ×` : "",
        `${row.wanted} ×`,
        outcome.peer ?? "",
        rate ? `${digits(rate)} ${unit}` : "",
        share ? `${Math.round(100 * share)} %` : "",
      ];
    });
    print(
      table(["work", ...contenders.map(({ name }) => name), "ratio", "wanted", "best peer", "our rate", "of ceiling"], lines),
    );
    const json = results.map(({ row, outcome }) => ({
      ...outcome,
      wanted: row.wanted,
      verdict: verdict(row, outcome, decisive),
      ...efficiency(row, outcome.entries[0], { ceilings: limits, decisive }),
    }));
    return { summary: JSON.parse(JSON.stringify({ bench: "peers", adapter, decisive, rows: json }, rounded)) };
  });
}
