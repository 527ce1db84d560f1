/**
 * One optimizer step as compiled programs: a single one where the batch is in one piece, three kinds where it comes in several.
 *
 * @module
 */

import { heldBytes, type ProgramBytes } from "../core/program.ts";
import { gradients } from "../autodiff/gradients.ts";
import { isFinite } from "../finite.ts";
import { adamw, globalNorm, type Moments } from "../optim/adamw.ts";
import { constant, type Tensor } from "../tensor.ts";
import { compile, type Compiled } from "../trace.ts";
import type { Loss, Prepare, StepInputs, Tensors, TrainerOptions, TrainingState } from "./trainer.ts";

/** What a step is computed from. */
type Inputs = TrainingState & Required<Pick<StepInputs, "batch" | "learningRate" | "controls">> & { readonly constants: Tensors };

/** What a step leaves. */
interface Updated {
  readonly lossNats: Tensor;
  readonly gradientNorm: Tensor;
  readonly parameters: Tensors;
  readonly moments: Moments;
  /** Where the next step clips by it: the gradients' norm once more, which outlives its reading. */
  readonly norm?: Tensor;
}

/** A step, and what it needs of the device's memory. */
type Step = ((inputs: Inputs) => Updated) & { bytes(inputs: Inputs): Promise<ProgramBytes | undefined> };
type Optimizer = TrainerOptions["optimizer"];

/** What the programs of a step take besides tensors of their own. */
interface Shared {
  readonly parameters: Tensors;
  readonly controls: Tensors;
  readonly constants: Tensors;
}

/** What the optimizer takes. */
interface Update {
  readonly parameters: Tensors;
  readonly moments: Moments;
  readonly step: Tensor;
  readonly learningRate: Tensor;
  /** That of the step before, to clip by. */
  readonly norm?: Tensor;
}

/** A step that overwrites parameters and moments in place. Nothing is compiled before it is called. */
export function compileStep({ loss, prepare = (parameters) => parameters, optimizer }: TrainerOptions): Step {
  const whole = compileWhole(loss, prepare, optimizer);
  const norm = compileNorm(loss, prepare);
  const accumulated = compileAccumulated(loss, prepare, optimizer);
  const inOnePiece = ({ batch, ...inputs }: Inputs): Omit<Inputs, "batch"> & { readonly batch: Tensors } | undefined => {
    if (!Array.isArray(batch)) return { ...inputs, batch: batch as Tensors };
    return batch.length === 1 ? { ...inputs, batch: batch[0] } : undefined;
  };
  /** The first step has no norm before it: its gradients are computed for it alone, and once more. */
  const withNorm = (inputs: NonNullable<ReturnType<typeof inOnePiece>>) => {
    if (!clipsByBefore(optimizer) || inputs.norm) return inputs;
    const { parameters, controls, constants, batch } = inputs;
    return { ...inputs, norm: norm({ parameters, controls, constants, batch }) };
  };
  const step = (inputs: Inputs): Updated => {
    const single = inOnePiece(inputs);
    return single ? whole(withNorm(single)) : accumulated.run(inputs, inputs.batch as readonly Tensors[]);
  };
  return Object.assign(step, {
    async bytes(inputs: Inputs) {
      const single = inOnePiece(inputs);
      if (!single) return await accumulated.bytes(inputs, inputs.batch as readonly Tensors[]);
      return await whole.bytes({ ...single, ...clipsByBefore(optimizer) && { norm: constant(0) } });
    },
  });
}

const clipsByBefore = (optimizer: Optimizer): boolean => optimizer?.clipBy === "before" && optimizer.clipNorm !== 0;

/** The global norm of the gradients, each of which is freed once its squares are summed. */
function compileNorm(loss: Loss, prepare: Prepare) {
  return compile(({ parameters, batch, constants, controls }: Shared & { batch: Tensors }) =>
    globalNorm(gradientsOf(loss(prepare(parameters, { constants, controls }), { batch, constants, controls }), parameters))
  );
}

/** The gradients by themselves: what is looked at where a step went wrong. */
export function compileGradients({ loss, prepare = (parameters) => parameters }: Pick<TrainerOptions, "loss" | "prepare">) {
  return compile(({ parameters, batch, constants, controls }: Shared & { batch: Tensors }) =>
    gradientsOf(loss(prepare(parameters, { constants, controls }), { batch, constants, controls }), parameters)
  );
}

/** Loss, gradients and update as one program. */
function compileWhole(loss: Loss, prepare: Prepare, optimizer: Optimizer) {
  return compile((inputs: Shared & Update & { batch: Tensors }) => {
    const { parameters, batch, constants, controls } = inputs;
    const lossNats = loss(prepare(parameters, { constants, controls }), { batch, constants, controls });
    return { lossNats, ...updated({ ...inputs, lossNats }, gradientsOf(lossNats, parameters), optimizer) };
  }, { donate: ["parameters", "moments", "batch", "norm"] });
}

type Prepared = Shared & { readonly prepared: Tensors };
type Sums = { readonly lossNats: Tensor; readonly slopes: Tensors };

/**
 * The parameters are prepared once for the step, each piece of the batch adds its gradients of what was prepared, and the sum goes back
 * to the parameters once: what a quantizer costs does not grow with the number of pieces.
 */
function compileAccumulated(loss: Loss, prepare: Prepare, optimizer: Optimizer) {
  /** What differs from the parameters. */
  const changed = ({ parameters, ...inputs }: Shared): Tensors => {
    const prepared = Object.entries(prepare(parameters, inputs));
    return Object.fromEntries(prepared.filter(([name, value]) => value !== parameters[name]));
  };
  const piece = ({ batch, constants, controls, sums, ...inputs }: Prepared & { batch: Tensors; sums?: Sums }): Sums => {
    const used = { ...inputs.parameters, ...inputs.prepared };
    const lossNats = loss(used, { batch, constants, controls });
    const slopes = gradientsOf(lossNats, used);
    if (!sums) return { lossNats, slopes };
    const added = Object.entries(slopes).map(([name, slope]) => [name, sums.slopes[name].add(slope)]);
    return { lossNats: sums.lossNats.add(lossNats), slopes: Object.fromEntries(added) };
  };
  const end = (inputs: Shared & Update & { sums: Sums; share: Tensor }) => {
    const { parameters, sums, share } = inputs;
    const used = { ...parameters, ...changed(inputs) };
    const terms = Object.entries(sums.slopes).map(([name, slope]) => used[name].mul(slope.mul(share)).sum());
    const whole = terms.reduce((total, term) => total.add(term), constant(0)); // its gradients are those of the loss
    const lossNats = sums.lossNats.mul(share);
    return { lossNats, ...updated({ ...inputs, lossNats }, gradientsOf(whole, parameters), optimizer) };
  };
  const programs: Programs = {
    changed,
    preparation: compile(changed),
    piece: compile(piece, { donate: ["batch", "sums"] }),
    end: compile(end, { donate: ["parameters", "moments", "sums"] }),
  };
  return {
    run: (inputs: Inputs, batches: readonly Tensors[]) => runAccumulated(programs, inputs, batches),
    bytes: (inputs: Inputs, batches: readonly Tensors[]) => accumulatedBytes(programs, inputs, batches),
  };
}

/** The programs of a step in several pieces. */
interface Programs {
  readonly changed: (inputs: Shared) => Tensors;
  readonly preparation: Compiled<Shared, Tensors>;
  readonly piece: Compiled<Prepared & { batch: Tensors; sums?: Sums }, Sums>;
  readonly end: Compiled<Shared & Update & { sums: Sums; share: Tensor }, Updated>;
}

function runAccumulated({ preparation, piece, end }: Programs, inputs: Inputs, batches: readonly Tensors[]): Updated {
  const { parameters, moments, controls, constants, step, learningRate } = inputs;
  const shared = { parameters, controls, constants };
  const prepared = preparation(shared);
  const [first, ...rest] = batches;
  let sums = piece({ ...shared, prepared, batch: first });
  for (const batch of rest) sums = piece({ ...shared, prepared, batch, sums });
  Object.values(prepared).forEach((tensor) => tensor.dispose());
  return end({ ...shared, moments, step, learningRate, sums, share: 1 / batches.length });
}

/** The largest of what the programs hold, with the moments that lie beside all but the last. */
async function accumulatedBytes(
  { changed, piece, end }: Programs,
  { parameters, moments, controls, constants, step, learningRate }: Inputs,
  [batch]: readonly Tensors[],
): Promise<ProgramBytes | undefined> {
  const shared = { parameters, controls, constants };
  const prepared = changed({ ...shared, controls: Object.fromEntries(Object.keys(controls).map((name) => [name, constant(0)])) });
  const summed = Object.entries({ ...parameters, ...prepared }).map(([name, { shape }]) => [name, constant(0, shape)] as const);
  const sums = { lossNats: constant(0), slopes: Object.fromEntries(summed) };
  const beside = [moments.first, moments.second].flatMap((each) => Object.values(each)).reduce(
    (sum, { size }) => sum + heldBytes(4 * size),
    0,
  );
  const pieces = await piece.bytes({ ...shared, prepared, batch, sums });
  const last = await end.bytes({ ...shared, moments, step, learningRate, sums, share: 1 });
  if (!pieces || !last) return undefined;
  const whole = { ...pieces, arguments: pieces.arguments + beside, total: pieces.total + beside };
  return whole.total > last.total ? whole : last;
}

function gradientsOf(loss: Tensor, tensors: Tensors): Record<string, Tensor> {
  const names = Object.keys(tensors);
  const slopes = gradients(loss, names.map((name) => tensors[name]));
  return Object.fromEntries(names.map((name, index) => [name, slopes[index]]));
}

/** The update; none where the loss or a gradient is not finite. */
function updated(
  { parameters, moments, step, learningRate, norm, lossNats }: Update & { readonly lossNats: Tensor },
  slopes: Tensors,
  optimizer: Optimizer,
): Omit<Updated, "lossNats"> {
  const options = { ...optimizer, learningRate, norm, when: isFinite(lossNats) };
  const result = adamw({ parameters, gradients: slopes, moments, step }, options);
  if (!norm) return result;
  const { gradientNorm } = result; // one that is not finite would have the next step skipped too
  return { ...result, norm: isFinite(gradientNorm).where(gradientNorm, norm) };
}
