/**
 * The states of a run on disk: when they are written, and where a run goes on that ended early.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import type { TrainOptions } from "../pipeline/train.ts";
import { newestState, saveState } from "../train/checkpoints.ts";
import type { TrainingState } from "../train/trainer.ts";
import type { RunConfig } from "./config.ts";
import { recordFiles } from "./run_records.ts";

/** Phases of training. */
export const trainingPhases = ["pretrain", "quantize"] as const;

/** A phase of training. */
export type TrainingPhase = typeof trainingPhases[number];

/** The states of a run, by phase. */
export class RunStates {
  /** The state that is being written. */
  #writing: Promise<void> = Promise.resolve();
  #savedAt = performance.now();
  #newest: string | undefined;

  private constructor(
    private readonly folder: string,
    private readonly settings: RunConfig["checkpoints"],
    private readonly found: Partial<Record<TrainingPhase, TrainingState>>,
  ) {
    const phase = trainingPhases.findLast((each) => found[each]);
    if (phase) this.#newest = stateName(phase, found[phase]!);
  }

  /**
   * Reads the states that an earlier process of this run left, and cuts `metrics.jsonl` and `tensors.jsonl` to the steps before them: what follows is computed
   * again. Damaged states are named on stderr, and the ones before are taken.
   */
  static async open(folder: string, settings: RunConfig["checkpoints"]): Promise<RunStates> {
    const found: Partial<Record<TrainingPhase, TrainingState>> = {};
    for (const phase of trainingPhases) {
      const damaged = (reason: string) => console.error(`checkpoint ${phase}/${reason}; the one before it is taken`);
      const loaded = await newestState(placeOf(folder, phase), damaged);
      if (loaded) found[phase] = loaded.state;
    }
    for (const name of recordFiles) await keepMetrics(`${folder}/${name}`, found);
    return new RunStates(folder, settings, found);
  }

  /** Step of a phase behind which the run goes on; undefined where the phase did not begin. */
  step(phase: TrainingPhase): number | undefined {
    return this.found[phase]?.step;
  }

  /** The newest state on disk, in words: "step 12 of quantize"; undefined where there is none. */
  get newest(): string | undefined {
    return this.#newest;
  }

  /** The options by which a phase goes on where it was, and writes its states. They are used once: the state is used up. */
  options(phase: TrainingPhase): Pick<TrainOptions, "state" | "onCheckpoint" | "checkpointEvery"> {
    const { everySeconds, everySteps = Infinity } = this.settings;
    const { [phase]: state } = this.found;
    delete this.found[phase];
    this.#savedAt = performance.now();
    return {
      state,
      checkpointEvery: (step) => step % everySteps === 0 || performance.now() - this.#savedAt >= 1000 * everySeconds,
      onCheckpoint: (now) => this.#save(phase, now),
    };
  }

  /** The last state is on disk, or said not to be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Reads the numbers; the next steps run while they are written. */
  async #save(phase: TrainingPhase, state: TrainingState): Promise<void> {
    await this.#writing; // one at a time
    const { read, written } = saveState(placeOf(this.folder, phase), state, { keep: this.settings.keep });
    this.#writing = written.then(
      () => void (this.#newest = stateName(phase, state)),
      (error: Error) => console.error(`no checkpoint of step ${state.step}, training goes on: ${error.message}`),
    );
    await read;
    this.#savedAt = performance.now();
  }
}

const stateName = (phase: TrainingPhase, { step }: TrainingState) => `step ${step} of ${phase}`;

const placeOf = (folder: string, phase: TrainingPhase) => `${folder}/checkpoints/${phase}`;

/** Leaves the steps of a metrics file that no run will repeat. */
async function keepMetrics(path: string, found: Partial<Record<TrainingPhase, TrainingState>>): Promise<void> {
  const text = await Deno.readTextFile(path).catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  const kept = lines.filter((line) => {
    const metrics = parsed(line);
    return metrics !== undefined && metrics.step <= (found[metrics.phase]?.step ?? 0);
  });
  if (kept.length < lines.length || text !== "" && !text.endsWith("\n")) {
    await writeFileAtomic(path, kept.map((line) => line + "\n").join(""));
  }
}

function parsed(line: string): { readonly step: number; readonly phase: TrainingPhase } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // the process ended while it was written
  }
}
