/**
 * The training loop: one compiled step, replayed. It knows neither the model nor the method: it is given a loss.
 *
 * @module
 */

import { type AdamWOptions, initialMoments, type Moments } from "../optim/adamw.ts";
import { isTensor, type Tensor } from "../tensor.ts";
import { compileStep } from "./step.ts";

/** Tensors by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** What a loss is computed from, besides the parameters. */
export interface LossInputs {
  /** Tensors of the step at hand. */
  readonly batch: Tensors;
  /** Numbers of the step at hand, as scalar tensors. */
  readonly controls: Tensors;
  /** Tensors that stay the same over the steps. */
  readonly constants: Tensors;
}

/** Scalar float32 loss of what `Prepare` made of the parameters. It is traced once, so it must be a pure function. */
export type Loss = (prepared: Tensors, inputs: LossInputs) => Tensor;

/** What a step computes with in place of the parameters, such as quantized weights: a pure function, run once for each step. */
export type Prepare = (parameters: Tensors, inputs: Omit<LossInputs, "batch">) => Tensors;

/** Parameters and the optimizer's memory of them. */
export interface TrainingState {
  readonly parameters: Tensors;
  readonly moments: Moments;
  /** Optimizer steps done. */
  readonly step: number;
}

/** What one step needs. */
export interface StepInputs {
  /** One batch, or several of the same shapes, whose losses and gradients are averaged. */
  readonly batch: Tensors | readonly Tensors[];
  readonly learningRate: number;
  readonly controls?: Readonly<Record<string, number>>;
  /** What throughput counts: tokens of the batch, say. */
  readonly items?: number;
}

/** What is known of a step once it has run. */
export interface StepResult {
  /** Counted from 1. */
  readonly step: number;
  readonly lossNats: number;
  /** Global norm before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly controls: Readonly<Record<string, number>>;
  /** As the inputs of the step said; 0 where they said nothing. */
  readonly items: number;
  /** Wall time of the step, averaged over the steps that were read together. */
  readonly seconds: number;
}

/** Settings of a run of steps. */
export interface TrainerOptions {
  readonly loss: Loss;
  /** The parameters themselves by default. */
  readonly prepare?: Prepare;
  /** Steps to run. */
  readonly steps: number;
  /** Inputs of each step, counted from 0. Its tensors are used up. */
  readonly inputs: (step: number) => StepInputs;
  readonly constants?: Tensors;
  readonly optimizer?: Omit<AdamWOptions, "learningRate">;
  /** Results are read back together after so many steps: each read waits for the device. */
  readonly readEvery?: number;
  /** Sees the state after each step, which the next one overwrites: what it reads must be on its way when its promise resolves. */
  readonly observe?: (state: TrainingState) => Promise<void> | void;
  /** Ends the run after the step at hand. */
  readonly signal?: AbortSignal;
}

/** A state before the first step. The parameters are used up by the first one. */
export function initialState(parameters: Tensors): TrainingState {
  return { parameters, moments: initialMoments(parameters), step: 0 };
}

/**
 * Runs steps and yields the result of each, in bundles as they are read back. Returns the state after the last one.
 *
 * @throws Error where the loss or the gradient is not finite: what to do is in the message, and files already written stay as they are
 */
export async function* trainSteps(initial: TrainingState, options: TrainerOptions): AsyncGenerator<StepResult, TrainingState> {
  const { steps, inputs, constants = {}, readEvery = 8, observe, signal } = options;
  const run = compileStep(options);
  let state = initial;
  let pending: { lossNats: Tensor; gradientNorm: Tensor; inputs: StepInputs }[] = [];
  let readAt = performance.now();
  for (let index = 0; index < steps && !signal?.aborted; index++) {
    const input = inputs(index);
    const { batch, learningRate, controls = {} } = input;
    const step = state.step + 1;
    const { lossNats, gradientNorm, ...next } = run({ ...state, batch, controls, constants, step, learningRate });
    state = { ...next, step };
    pending.push({ lossNats, gradientNorm, inputs: input });
    if (observe) readAt += await timed(async () => await observe(state));
    if (pending.length < readEvery && index + 1 < steps && index > 0) continue;
    yield* await readResults(pending, state.step, readAt);
    pending = [];
    readAt = performance.now();
  }
  if (pending.length > 0) yield* await readResults(pending, state.step, readAt);
  return state;
}

/** Milliseconds that `work` takes. */
async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function readResults(
  pending: readonly { lossNats: Tensor; gradientNorm: Tensor; inputs: StepInputs }[],
  lastStep: number,
  since: number,
): Promise<StepResult[]> {
  const values = await Promise.all(pending.flatMap(({ lossNats, gradientNorm }) => [lossNats.item(), gradientNorm.item()]));
  const seconds = (performance.now() - since) / 1000 / pending.length;
  return pending.map(({ lossNats, gradientNorm, inputs }, index) => {
    lossNats.dispose();
    gradientNorm.dispose();
    const result = {
      step: lastStep - pending.length + 1 + index,
      lossNats: values[2 * index],
      gradientNorm: values[2 * index + 1],
      learningRate: inputs.learningRate,
      controls: inputs.controls ?? {},
      items: inputs.items ?? 0,
      seconds,
    };
    if (!Number.isFinite(result.lossNats) || !Number.isFinite(result.gradientNorm)) {
      throw new Error(
        `Training diverged at step ${result.step}: loss ${result.lossNats}, gradient norm ${result.gradientNorm}. ` +
          `Lower the learning rate (${result.learningRate}) or raise the warm-up`,
      );
    }
    return result;
  });
}

/** Frees the memory of a tree of tensors. */
export function disposeAll(tree: unknown): void {
  if (isTensor(tree)) tree.dispose();
  else if (typeof tree === "object" && tree !== null) Object.values(tree).forEach(disposeAll);
}
