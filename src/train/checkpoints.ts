/**
 * States of training on disk.
 *
 * @module
 */

import { safetensorsChunks } from "../io/safetensors.ts";
import { newestSnapshot, writeSnapshot } from "../io/snapshots.ts";
import { loadTensors, tensorNumbers } from "../io/tensors.ts";
import type { Tensor } from "../tensor.ts";
import type { TrainingState } from "./trainer.ts";

/** How states are kept. */
export interface CheckpointOptions {
  /** The newest so many stay; 2 by default. */
  readonly keep?: number;
  /** Plain data to store with the state. */
  readonly info?: Readonly<Record<string, unknown>>;
}

/** A state that was read back. */
export interface LoadedState {
  /** For the option `state` of `train`. */
  readonly state: TrainingState;
  /** What was stored with it. */
  readonly info: Readonly<Record<string, unknown>>;
}

const fileName = "state.safetensors";

/** Parts of a state, by the first words of the names of their tensors. */
const parts = ["parameters", "first", "second"] as const;

/**
 * Writes the state of a training into a folder of its own inside of `folder`, whole or not at all, with checksums; older states than the
 * newest two go when it is safe. The numbers are read before `read` resolves: from then on training may go on, while the rest is written.
 *
 * @returns `read` and `written`; both fail with an Error that names the file where it cannot be written
 *
 * @example
 * ```ts
 * import { batches, initialModel, newestState, saveState, train, type TrainingState } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const tokens = new TextEncoder().encode("Call me Ishmael. Some years ago, never mind how long precisely.");
 * const size = { batchSize: 2, sequenceLength: 8, seed: 1 };
 * const folder = await Deno.makeTempDir();
 * for (const steps of [3, 5]) { // as two processes would
 *   const { state } = await newestState(folder) ?? {};
 *   const data = batches(tokens, { ...size, start: state?.step });
 *   const onCheckpoint = async (now: TrainingState) => await saveState(folder, now).written;
 *   for await (const event of train(model, data, { steps, state, onCheckpoint, checkpointEvery: 2 })) {
 *     if (event.type === "step") console.log(event.step, event.lossNats); // 1, 2, 3, then 4, 5
 *   }
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function saveState(
  folder: string,
  state: TrainingState,
  { keep = 2, info = {} }: CheckpointOptions = {},
): { readonly read: Promise<void>; readonly written: Promise<void> } {
  const numbers = tensorNumbers(tensorsOf(state));
  const written = numbers.then((tensors) =>
    writeSnapshot(folder, state.step, {
      files: { [fileName]: safetensorsChunks(tensors) },
      info: { ...info, step: state.step },
      keep,
    })
  );
  written.catch(() => {}); // whoever takes it hears of it
  return { read: numbers.then(() => {}), written };
}

/**
 * Reads the newest state of a folder that is whole; undefined where there is none.
 *
 * @param onDamaged is told of each newer one that is not, in a few words
 */
export async function newestState(
  folder: string,
  onDamaged: (reason: string) => void = () => {},
): Promise<LoadedState | undefined> {
  const { folder: path, number, info, damaged } = await newestSnapshot(folder);
  damaged.forEach(onDamaged);
  if (path === undefined) return undefined;
  if (info!.step !== number) {
    throw new RangeError(`Cannot go on from "${path}": it was written after step ${info!.step}, and its name says ${number}`);
  }
  return { state: stateOf(await loadTensors(`${path}/${fileName}`), number!), info: info! };
}

function tensorsOf({ parameters, moments, norm }: TrainingState): Record<string, Tensor> {
  const all = { parameters, ...moments };
  const named = parts.flatMap((part) => Object.entries(all[part]).map(([name, value]) => [`${part}/${name}`, value] as const));
  return { ...Object.fromEntries(named), ...norm && { norm } };
}

function stateOf(tensors: Readonly<Record<string, Tensor>>, step: number): TrainingState {
  const [parameters, first, second] = parts.map((part) => {
    const own = Object.entries(tensors).filter(([name]) => name.startsWith(`${part}/`));
    return Object.fromEntries(own.map(([name, value]) => [name.slice(part.length + 1), value]));
  });
  return { parameters, moments: { first, second }, step, ...tensors.norm && { norm: tensors.norm } };
}
