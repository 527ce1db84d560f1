/**
 * One row: every library is checked, then timed in turns with ours.
 *
 * @module
 */

import { type Cost, cpuMilliseconds, scriptMilliseconds } from "../clock.ts";
import { hostInputs, type Row } from "./rows.ts";
import type { Job, Library } from "./work.ts";

/** A library that takes part. */
export interface Contender {
  readonly name: string;
  /** May be called for each row. */
  readonly open: () => Promise<Library>;
}

/** What came out for one library. */
export interface Entry {
  readonly library: string;
  /** Why there are no times. */
  readonly failed?: string;
  /** Results are off by more than the row tolerates: the times do not count. */
  readonly wrong?: boolean;
  /** Largest relative error. */
  readonly error?: number;
  readonly dispatches?: number;
  /** Median of all rounds. */
  readonly cost?: Cost;
}

/** A row of the table. */
export interface Outcome {
  readonly id: string;
  readonly title: string;
  /** Ours is the first. */
  readonly entries: readonly Entry[];
  /** The fastest among the peers that are right. */
  readonly peer?: string;
  /** Its time over ours: median of the rounds. */
  readonly ratio?: Cost;
}

const enoughCpuMilliseconds = 8000; // turns of a row end early once they have taken as much
const batchMilliseconds = 200; // long against the wait for the device, which takes 10 ms on some platforms

let dispatches = 0;
for (const method of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"] as const) {
  const original = GPUComputePassEncoder.prototype[method] as (...args: unknown[]) => undefined;
  GPUComputePassEncoder.prototype[method] = function (this: GPUComputePassEncoder, ...args: unknown[]) {
    dispatches++;
    return original.apply(this, args);
  };
}

/** A library whose job is ready, and has run before. */
interface Ready {
  readonly entry: Entry;
  readonly job: Job;
  readonly repetitions: number;
  readonly costs: Cost[];
}

/** Compares ours, which comes first, with the peers. The peer that is fastest at first meets ours in every
 * round, others are timed once. */
export async function compareRow(
  row: Row,
  contenders: readonly Contender[],
  { rounds, decisive }: { readonly rounds: number; readonly decisive: keyof Cost },
): Promise<Outcome> {
  const inputs = hostInputs(row);
  const check = row.check(inputs);
  const prepared: (Entry | Ready)[] = [];
  for (const contender of contenders) {
    try {
      prepared.push(await ready(row, contender, { inputs, check }));
    } catch (error) {
      prepared.push({ library: contender.name, failed: String((error as Error)?.message ?? error).split("\n")[0] });
    }
  }
  const all = prepared.map((each) => "job" in each ? each : undefined);
  const right = all.map((each) => each && !each.entry.wrong ? each : undefined);
  const [ours, ...peers] = right;
  let best: { peer: Ready; ratios: Cost[] } | undefined;
  for (const peer of peers) {
    if (peer && !(best && best.peer.costs[0][decisive] <= peer.costs[0][decisive])) best = { peer, ratios: [] };
  }
  if (ours && best) best.ratios.push(...await inTurns(row, { ours, peer: best.peer, rounds }));
  const entries = prepared.map((each) => "job" in each ? { ...each.entry, cost: median(each.costs) } : each);
  const outcome = { id: row.id, title: row.title, entries };
  return ours && best ? { ...outcome, peer: best.peer.entry.library, ratio: median(best.ratios) } : outcome;
}

/** Ours, the peer, ours, the peer, …: their ratios, one at least. */
async function inTurns(
  row: Row,
  { ours, peer, rounds }: { readonly ours: Ready; readonly peer: Ready; readonly rounds: number },
): Promise<Cost[]> {
  const ratios: Cost[] = [];
  const start = cpuMilliseconds();
  for (let round = 0; round < rounds && (round === 0 || cpuMilliseconds() - start < enoughCpuMilliseconds); round++) {
    const mine = await timed(row, ours);
    const theirs = await timed(row, peer);
    ours.costs.push(mine);
    peer.costs.push(theirs);
    ratios.push({ cpu: theirs.cpu / mine.cpu, wall: theirs.wall / mine.wall });
  }
  return ratios;
}

/** Checks the results, counts kernels, and chooses how many repetitions make a batch. */
async function ready(
  row: Row,
  { name, open }: Contender,
  { inputs, check }: { readonly inputs: ReturnType<typeof hostInputs>; readonly check: ReturnType<Row["check"]> },
): Promise<Ready> {
  const job = (await open()).prepare(row.fn, inputs);
  const before = dispatches;
  const error = check(await job.read()); // the first repetition compiles
  const entry = { library: name, error, dispatches: dispatches - before, wrong: !(error <= row.tolerance) };
  let batch: Ready = { entry, job, repetitions: 1, costs: [] };
  const enough = row.wantedHostMilliseconds === undefined ? batchMilliseconds : batchMilliseconds / 10;
  while (true) {
    const cost = await timed(row, batch);
    if (cost.wall * batch.repetitions >= enough || batch.repetitions >= 1024) return { ...batch, costs: [cost] };
    batch = { ...batch, repetitions: 2 * batch.repetitions };
  }
}

async function timed({ wantedHostMilliseconds }: Row, { job, repetitions }: Ready): Promise<Cost> {
  const hostOnly = wantedHostMilliseconds !== undefined;
  const cpuClock = hostOnly ? scriptMilliseconds : cpuMilliseconds;
  const [cpu, wall] = [cpuClock(), performance.now()];
  for (let repetition = 0; repetition < repetitions; repetition++) job.run();
  if (!hostOnly) await job.done();
  const cost = { cpu: (cpuClock() - cpu) / repetitions, wall: (performance.now() - wall) / repetitions };
  if (hostOnly) await job.done();
  return cost;
}

function median(costs: readonly Cost[]): Cost {
  const middle = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
  return { cpu: middle(costs.map(({ cpu }) => cpu)), wall: middle(costs.map(({ wall }) => wall)) };
}
