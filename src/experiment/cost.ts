/**
 * What a step costs with each arm, against full precision.
 *
 * @module
 */

import { tensor } from "../create.ts";
import { initialModel } from "../llama/parameters.ts";
import { train } from "../pipeline/train.ts";
import { batches } from "../train/data.ts";
import { disposeAll } from "../train/trainer.ts";
import { type Arm, armNamed, fullPrecisionArm } from "./arms.ts";
import { armOptions, type Experiment } from "./settings.ts";
import { median } from "./statistics.ts";

/** Seconds spent so far. */
export interface Clock {
  /** As the wall sees it. */
  wall(): number;
  /** Of all threads of the process. On a software driver this is the work itself, and others who use the machine move it little. */
  cpu(): number;
}

/** Cost of one arm at one number of tokens. */
export interface StepCost {
  readonly arm: string;
  readonly label: string;
  readonly tokens: number;
  /** Seconds of a step, medians. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** Medians of paired ratios to full precision, less one. */
  readonly wallOverhead: number;
  readonly cpuOverhead: number;
}

/** Steps that `train` runs before it reads: the smallest piece of work that can be timed. */
const stepsTogether = 8;

type Seconds = Readonly<Record<keyof Clock, number>>;

/**
 * Times the steps of arms in turns with those of full precision, so that what else the machine does meets both alike.
 *
 * @param tokens of a step: so many sequences as they fill
 * @param rounds turns of each arm
 */
export async function stepCosts(
  experiment: Pick<Experiment, "settings" | "arms" | "tokens" | "signal">,
  { tokens, rounds, clock }: { readonly tokens: number; readonly rounds: number; readonly clock: Clock },
): Promise<StepCost[]> {
  const contenders = differentPrograms(experiment.arms);
  const costs: StepCost[] = [];
  using base = stepper(armNamed(fullPrecisionArm), experiment, { tokens, rounds: rounds * contenders.length });
  await base.turn(clock);
  for (const arm of contenders) {
    using own = stepper(arm, experiment, { tokens, rounds });
    await own.turn(clock);
    const pairs: { own: Seconds; base: Seconds }[] = [];
    for (let round = 0; round < rounds; round++) {
      experiment.signal?.throwIfAborted();
      const first = round % 2 === 0 ? base : own; // neither is always the one that comes second
      const second = first === base ? own : base;
      const [a, b] = [await first.turn(clock), await second.turn(clock)];
      pairs.push(first === base ? { base: a, own: b } : { base: b, own: a });
    }
    const overhead = (kind: keyof Clock) => median(pairs.map(({ own, base }) => own[kind] / base[kind])) - 1;
    const seconds = (kind: keyof Clock) => median(pairs.map(({ own }) => own[kind])) / stepsTogether;
    costs.push({
      arm: arm.name,
      label: arm.label,
      tokens,
      wallSeconds: seconds("wall"),
      cpuSeconds: seconds("cpu"),
      wallOverhead: overhead("wall"),
      cpuOverhead: overhead("cpu"),
    });
  }
  return costs;
}

/** Trained arms, one for each program: guidance changes numbers, not what is computed. */
function differentPrograms(arms: readonly Arm[]): Arm[] {
  const trained = arms.filter(({ untrained, name }) => !untrained && name !== fullPrecisionArm);
  const program = ({ quantizer, groupSize }: Arm): string => `${quantizer} ${groupSize}`;
  return trained.filter((arm, index) => trained.findIndex((other) => program(other) === program(arm)) === index);
}

/** Training that runs a few steps a turn. */
function stepper(
  arm: Arm,
  { settings, tokens: text }: Pick<Experiment, "settings" | "tokens">,
  { tokens, rounds }: { readonly tokens: number; readonly rounds: number },
) {
  const { sequenceLength } = settings;
  const batchSize = Math.max(1, Math.round(tokens / sequenceLength));
  const model = initialModel(settings.model, { seed: 1, deviation: settings.deviation });
  const data = batches(text.training, { batchSize, sequenceLength, seed: 1 });
  const { annealing } = settings.arm;
  const steps = 1 + stepsTogether * (rounds + 2);
  const options = { ...armOptions(arm, settings), steps, annealing: { ...annealing, hardSteps: 0 } };
  const events = train(model, data, options);
  let started = false;
  return {
    /** What the steps of a turn took. The first turn compiles too. */
    async turn(clock: Clock): Promise<Seconds> {
      if (!started) await events.next(); // the first step is read alone
      started = true;
      const before = { wall: clock.wall(), cpu: clock.cpu() };
      for (let step = 0; step < stepsTogether; step++) await events.next();
      await deviceDone(); // steps may be queued ahead of what was read
      return { wall: clock.wall() - before.wall, cpu: clock.cpu() - before.cpu };
    },
    [Symbol.dispose](): void {
      events.return(undefined);
      disposeAll(model.parameters);
    },
  };
}

/** Waits for all that was queued, since reads are in order. */
async function deviceDone(): Promise<void> {
  using fence = tensor([0]);
  await fence.data();
}
