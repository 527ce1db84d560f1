/**
 * What a run measures while it trains: held-out loss with what the model writes then, statistics of its tensors, the best model so far.
 *
 * @module
 */

import type { LanguageModel } from "../llama/checkpoint.ts";
import { generate } from "../llama/generate.ts";
import type { HeldOutBest, HeldOutPoint } from "../pipeline/held_out_points.ts";
import type { TrainOptions } from "../pipeline/train.ts";
import { newestState, saveState } from "../train/checkpoints.ts";
import type { TrainingState } from "../train/trainer.ts";
import type { RunConfig } from "./config.ts";
import type { RunData } from "./run_data.ts";
import type { RunFolder } from "./run_folder.ts";
import { recordsOf, type RunListeners, type RunRecord } from "./run_records.ts";
import type { TrainingPhase } from "./run_states.ts";

/** Watches the phases of one run. */
export class RunWatch {
  readonly #config: RunConfig;
  #best: HeldOutBest | undefined;
  #lastStep = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly run: RunFolder,
    private readonly start: LanguageModel,
    private readonly data: RunData,
    private readonly records: RunListeners,
  ) {
    this.#config = run.manifest.config;
  }

  /** Tells of a record. */
  tell(record: RunRecord): void {
    this.records.tell(record);
  }

  /** The options by which `train` measures in a phase. */
  async options(phase: TrainingPhase): Promise<Pick<TrainOptions, "heldOut" | "onEvaluation" | "statistics">> {
    const { evaluation: { everySteps, patience, batches: maxBatches }, statistics, batchSize, sequenceLength } = this.#config;
    const size = { batchSize, sequenceLength, maxBatches };
    const earlier = await pointsIn(`${this.run.path}/metrics.jsonl`, phase);
    this.#best = bestOf(earlier);
    this.#lastStep = 0;
    return {
      ...statistics.everySteps === 0 ? {} : {
        statistics: {
          everySteps: statistics.everySteps,
          onStatistics: (told) => this.tell({ ...told, phase }),
        },
      },
      ...everySteps === undefined ? {} : {
        heldOut: {
          everySteps,
          patience,
          best: this.#best,
          measured: earlier.at(-1)?.step ?? 0,
          ...size,
          text: async () => (await this.data.heldOut(size)).text,
        },
        onEvaluation: (point) => this.#measured(phase, point),
      },
    };
  }

  /** The state to go back to where patience ended a phase; undefined where the last one is to be kept. */
  async bestOf(phase: TrainingPhase): Promise<TrainingState | undefined> {
    await this.#writing;
    const { evaluation: { everySteps, patience } } = this.#config;
    const best = this.#best;
    if (everySteps === undefined || patience === undefined || !best) return undefined;
    const last = Math.max(this.#lastStep, await lastStepIn(`${this.run.path}/metrics.jsonl`, phase));
    if (last - best.step < patience * everySteps) return undefined;
    const loaded = await newestState(this.#bestFolder(phase));
    if (loaded?.state.step === best.step) {
      console.error(`${phase}: no better since step ${best.step} (held-out loss ${best.lossNats.toFixed(4)}), which is taken`);
      return loaded.state;
    }
    console.error(`${phase}: the checkpoint of step ${best.step}, the best one, is not there; the last step is taken`);
  }

  #bestFolder(phase: TrainingPhase): string {
    return `${this.run.path}/checkpoints/best-${phase}`;
  }

  async #measured(phase: TrainingPhase, { step, lossNats, latentLossNats, best, model, state }: HeldOutPoint): Promise<void> {
    const sample = await this.#sampleOf(model);
    this.#best = best;
    this.#lastStep = step;
    this.tell({ step, phase, heldOutLossNats: lossNats, latentLossNats, ...sample === undefined ? {} : { sample } });
    if (best.step !== step) return;
    await this.#writing;
    const { read, written } = saveState(this.#bestFolder(phase), state, { keep: 1, info: { ...best } });
    this.#writing = written.catch((error: Error) =>
      console.error(`the best model, of step ${step}, is not kept, training goes on: ${error.message}`)
    );
    await read.catch(() => {}); // said above
  }

  async #sampleOf(model: HeldOutPoint["model"]): Promise<string | undefined> {
    const { evaluation: { sampleTokens: maxTokens }, sample: { prompt, temperature }, seed } = this.#config;
    if (maxTokens === 0) return undefined;
    let text = prompt;
    for await (const piece of generate({ ...this.start, ...model }, prompt, { maxTokens, temperature, seed })) text += piece;
    return text;
  }
}

/** Records of a phase that a file of metrics holds. */
async function phaseIn(path: string, phase: TrainingPhase): Promise<RunRecord[]> {
  return (await recordsOf(path)).filter((record) => record.phase === phase);
}

async function pointsIn(path: string, phase: TrainingPhase): Promise<HeldOutBest[]> {
  return (await phaseIn(path, phase)).flatMap((record) =>
    "heldOutLossNats" in record ? [{ step: record.step, lossNats: record.heldOutLossNats }] : []
  );
}

function bestOf([first, ...rest]: readonly HeldOutBest[]): HeldOutBest | undefined {
  return rest.reduce((best, point) => best && best.lossNats <= point.lossNats ? best : point, first);
}

async function lastStepIn(path: string, phase: TrainingPhase): Promise<number> {
  return (await phaseIn(path, phase)).reduce((last, { step }) => Math.max(last, step), 0);
}
