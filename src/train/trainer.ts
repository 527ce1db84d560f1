/**
 * The training loop: one compiled step, replayed. It knows neither the model nor the method: it is given a loss.
 *
 * @module
 */

import type { ProgramBytes } from "../core/program.ts";
import { type AdamWOptions, initialMoments, type MomentDType, type Moments } from "../optim/adamw.ts";
import { describeNotFinite, firstNotFinite, type NotFinite } from "../finite.ts";
import { isTensor, type Tensor } from "../tensor.ts";
import { compileGradients, compileStep } from "./step.ts";

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

/** Parameters and the optimizer's memory of them: all that a next step depends on, besides its settings and its batch. */
export interface TrainingState {
  /** What is trained, what a quantizer learns included. */
  readonly parameters: Tensors;
  /** AdamW's, by the same names. */
  readonly moments: Moments;
  /** Optimizer steps done. */
  readonly step: number;
  /** Global norm of the last step's gradients, a scalar, where the next step clips by it. */
  readonly norm?: Tensor;
}

/** Settings of the optimizer. */
export interface OptimizerOptions extends Omit<AdamWOptions, "learningRate" | "norm"> {
  /** How moments are stored: "float32" by default; "bfloat16" takes half the memory, rounded stochastically. */
  readonly moments?: MomentDType;
  /**
   * The norm that gradients are clipped by: that of the "step" (the default), which waits for all gradients, or that of the step
   * "before", so that each gradient is freed as its parameter is updated: a quarter of the memory of parameters and moments. The first step
   * computes its gradients twice then. Not with batches in several pieces, whose gradients are all there.
   */
  readonly clipBy?: "step" | "before";
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
  /** Wall time of a step, averaged over the last eight or so; of the first one its own, compiling included. */
  readonly seconds: number;
  /** The loss or the gradient was NaN or infinite, and the step changed nothing. */
  readonly skipped?: true;
}

/** Settings of a run of steps. */
export interface TrainerOptions {
  readonly loss: Loss;
  /** The parameters themselves by default. */
  readonly prepare?: Prepare;
  /** Steps to run. */
  readonly steps: number;
  /**
   * Inputs of each step, counted from 0, whose tensors are used up; undefined ends the run before that step. Where they are promised,
   * the device works on earlier steps meanwhile.
   */
  readonly inputs: (step: number) => StepInputs | undefined | Promise<StepInputs | undefined>;
  readonly constants?: Tensors;
  readonly optimizer?: OptimizerOptions;
  /** Is told what the step needs of the device's memory, once, after the first step. */
  readonly onMemory?: (bytes: ProgramBytes) => void;
  /**
   * Results are read back together after so many steps, while the device works on the next ones: by default 8, fewer where steps are long,
   * so that each is told of within half a second.
   */
  readonly readEvery?: number;
  /** Sees the state after each step, which the next one overwrites: what it reads must be on its way when its promise resolves. */
  readonly observe?: (state: TrainingState) => Promise<void> | void;
  /** Is given the state after those steps that are `due`, once their results are yielded; waited for, as with `observe`. */
  readonly checkpoint?: {
    readonly due: (step: number) => boolean;
    readonly save: (state: TrainingState) => Promise<void> | void;
  };
  /** Steps in a row that may be skipped since their loss or gradient is not finite; one more ends the run. None by default. */
  readonly mostSkips?: number;
  /** Ends the run after the step at hand. */
  readonly signal?: AbortSignal;
}

/** A state before the first step. The parameters are used up by the first one. */
export function initialState(parameters: Tensors, { moments: dtype }: Pick<OptimizerOptions, "moments"> = {}): TrainingState {
  return { parameters, moments: initialMoments(parameters, { dtype }), step: 0 };
}

/**
 * Runs steps and yields the result of each, in bundles as they are read back. A bundle is read while the device works on the next one,
 * so its results come when that one is queued. Returns the state after the last step; whoever leaves earlier, or an error, frees it.
 *
 * @throws Error where the loss or the gradient is not finite more than `mostSkips` times in a row, or a parameter is not: what to do is in
 *   the message, and files already written stay as they are
 */
export async function* trainSteps(initial: TrainingState, options: TrainerOptions): AsyncGenerator<StepResult, TrainingState> {
  const { steps, inputs, constants = {}, observe, checkpoint, signal } = options;
  const run = compileStep(options);
  const read = bundleReader();
  let state = initial;
  let pending: PendingStep[] = [];
  let reading: Promise<StepResult[]> | undefined;
  let finished = false;
  const sound = soundness(() => state, { ...options, inputs: (done) => inputs(done - initial.step) });
  async function* unread(): AsyncGenerator<StepResult, void> {
    const [earlier, last] = [reading, pending.splice(0)];
    reading = undefined;
    if (earlier) yield* sound(earlier);
    if (last.length > 0) yield* sound(read.bundle(last));
  }
  try {
    for (let index = 0; index < steps && !signal?.aborted; index++) {
      const given = inputs(index);
      const input = given instanceof Promise ? await given : given; // nothing is waited for where it is there
      if (input === undefined) break;
      const step = state.step + 1;
      const { batch, learningRate, controls = {} } = checked(input, step);
      const whole = { ...state, batch, controls, constants, step, learningRate };
      const { lossNats, gradientNorm, ...next } = run(whole);
      state = { ...next, step };
      pending.push({ step, lossNats, gradientNorm, inputs: input });
      if (observe) await read.aside(async () => await observe(state));
      if (index === 0) {
        const bytes = await run.bytes(whole);
        if (bytes) options.onMemory?.(bytes);
        yield* sound(read.bundle(pending.splice(0))); // soon, for those who wait
      } else if (pending.length >= (options.readEvery ?? read.stepsAtOnce())) {
        const earlier = reading;
        reading = read.bundle(pending);
        pending = [];
        await undefined; // the read is queued here, before the next steps
        if (earlier) yield* sound(earlier);
      }
      if (checkpoint?.due(step)) {
        yield* unread();
        await read.aside(async () => await checkpoint.save(state));
      }
    }
    yield* unread();
    finished = true;
    return state;
  } finally {
    if (!finished) disposeAll([state, pending.map(({ lossNats, gradientNorm }) => [lossNats, gradientNorm])]);
  }
}

/** What a step would need of the device's memory; undefined on the reference backend. Neither state nor inputs need to have values. */
export async function stepBytes(state: TrainingState, options: TrainerOptions): Promise<ProgramBytes | undefined> {
  const { batch, learningRate, controls = {} } = (await options.inputs(0))!;
  return await compileStep(options).bytes({
    ...state,
    batch,
    controls,
    constants: options.constants ?? {},
    step: 1,
    learningRate,
  });
}

/** A step that runs and was not read yet. */
interface PendingStep {
  readonly step: number;
  readonly lossNats: Tensor;
  readonly gradientNorm: Tensor;
  readonly inputs: StepInputs;
}

/** Time that a bundle of several steps takes at most. */
const longestBundleSeconds = 0.25;

/** Steps whose times are averaged: a thread that is held up hears of several at once. */
const averagedSteps = 8;

/**
 * Reads bundles of steps, which share the time from when the bundle before was there until they are: what the device takes for them. Work
 * that is done aside does not count; but it may have waited for steps that are not read yet. So the time of a step lies between what is
 * left without that work and all of it, and within these is taken to be that of the steps before.
 */
function bundleReader() {
  let since = performance.now();
  let asideSeconds = 0;
  let lastSeconds = 0;
  let recent: { readonly seconds: number; readonly steps: number }[] = [];
  const secondsOf = (steps: number): number => {
    const now = performance.now();
    const most = (now - since) / 1000;
    const seconds = Math.max(most - asideSeconds, Math.min(most, lastSeconds * steps));
    [since, asideSeconds] = [now, 0];
    if (lastSeconds === 0) return lastSeconds = seconds / steps; // it compiled, and says nothing of the next
    recent = [...recent, { seconds, steps }].slice(-Math.ceil(averagedSteps / steps));
    const [sum, count] = recent.reduce(([sum, count], each) => [sum + each.seconds, count + each.steps], [0, 0]);
    return lastSeconds = sum / count;
  };
  const read = async (bundle: readonly PendingStep[]): Promise<StepResult[]> => {
    const values = await Promise.all(bundle.flatMap(({ lossNats, gradientNorm }) => [lossNats.item(), gradientNorm.item()]));
    const seconds = secondsOf(bundle.length);
    disposeAll(bundle.map(({ lossNats, gradientNorm }) => [lossNats, gradientNorm]));
    return bundle.map(({ step, inputs: { learningRate, controls = {}, items = 0 } }, index) => ({
      step,
      lossNats: values[2 * index],
      gradientNorm: values[2 * index + 1],
      learningRate,
      controls,
      items,
      seconds,
    }));
  };
  return {
    /** One bundle is at work while the one before is read. */
    stepsAtOnce: (): number => Math.min(8, Math.max(1, Math.floor(longestBundleSeconds / lastSeconds))),
    bundle(steps: readonly PendingStep[]): Promise<StepResult[]> {
      const results = read(steps);
      results.catch(() => {}); // whoever takes the results hears of it, if anybody still does
      return results;
    },
    async aside(work: () => Promise<void>): Promise<void> {
      const started = performance.now();
      await work();
      asideSeconds += (performance.now() - started) / 1000;
    },
  };
}

/** Marks results whose loss or gradient is not finite; throws where there are more of them in a row than may be, or a parameter is not. */
function soundness(stateOf: () => TrainingState, options: TrainerOptions) {
  const { mostSkips = 0 } = options;
  let skips = 0;
  return async function* (bundle: Promise<StepResult[]>): AsyncGenerator<StepResult, void> {
    for (const result of await bundle) {
      if (Number.isFinite(result.lossNats) && Number.isFinite(result.gradientNorm)) {
        skips = 0;
        yield result;
        continue;
      }
      const found = await firstNotFinite(stateOf().parameters);
      if (found) throw diverged(result, `The parameter ${describeNotFinite(found)}`);
      if (++skips > mostSkips) throw diverged(result, await whatIsWrong(stateOf(), options, skips));
      yield { ...result, skipped: true };
    }
  };
}

/** The error of a step whose loss or gradient is not finite; it has changed nothing. */
function diverged({ step, lossNats, gradientNorm, learningRate }: StepResult, reason: string): Error {
  return new Error(
    `Training diverged at step ${step}: loss ${lossNats}, gradient norm ${gradientNorm}. ${reason}. ` +
      `Lower the learning rate (${learningRate}) or raise the warm-up`,
  );
}

/** What is known of steps that were skipped, in words: the first gradient that is not finite on the next batch, where there is one. */
async function whatIsWrong(state: TrainingState, options: TrainerOptions, skips: number): Promise<string> {
  const bad = await badGradient(state, options).catch(() => undefined); // the error at hand is the one to tell
  return `No parameter was changed by it, all are finite` +
    (bad ? `; the gradient of "${bad.name}" holds ${bad.value} at ${bad.index}` : "") +
    (skips > 1 ? `; ${skips} steps in a row were skipped` : "");
}

async function badGradient(state: TrainingState, options: TrainerOptions): Promise<NotFinite | undefined> {
  const { parameters, step } = state;
  const given = await options.inputs(step);
  if (!given) return undefined;
  const { batch, controls = {} } = given;
  const first = Array.isArray(batch) ? batch[0] : batch as Tensors;
  return await firstNotFinite(
    compileGradients(options)({ parameters, batch: first, controls, constants: options.constants ?? {} }),
  );
}

/** Inputs whose numbers are finite; throws a RangeError where one is not. */
function checked(inputs: StepInputs, step: number): StepInputs {
  if (!(Number.isInteger(step) && step >= 1)) throw new RangeError(`Cannot run step ${step}: steps count from 1`);
  const numbers = { learningRate: inputs.learningRate, ...inputs.controls };
  const wrong = Object.entries(numbers).find(([, value]) => !Number.isFinite(value));
  if (wrong) throw new RangeError(`Cannot run step ${step} with a ${wrong[0]} of ${wrong[1]}: wanted a finite number`);
  return inputs;
}

/** Frees the memory of a tree of tensors. */
export function disposeAll(tree: unknown): void {
  if (isTensor(tree)) tree.dispose();
  else if (typeof tree === "object" && tree !== null) Object.values(tree).forEach(disposeAll);
}
