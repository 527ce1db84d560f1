/**
 * Work whose errors a device reports after it was handed over.
 *
 * @module
 */

import type { Value } from "./graph.ts";

/** Some work that a device may turn out to have refused. */
export class Doubt {
  /** Whether that is known. */
  isSettled = false;
  /** Why it refused the work; undefined while that is not known, and for work that is done. */
  error: Error | undefined;
  /** Resolves as soon as it is known. */
  readonly settled: Promise<void>;

  constructor(outcome: Promise<Error | undefined>) {
    this.settled = outcome.then((error) => {
      this.error = error;
      this.isSettled = true;
    });
  }
}

/** Why the device refused what filled a value, once that is known and it did. */
export function refusalOf(value: Value): Error | undefined {
  if (!value.doubts?.every(({ isSettled }) => isSettled)) return undefined;
  const error = value.doubts.find(({ error }) => error)?.error;
  if (!error) value.doubts = undefined;
  return error;
}

/** Has values that are uploaded for some work lie on the host again where the device refuses it; `free` gives back what they hold. */
export function keepUploads(values: readonly Value[], free: (value: Value) => void): (doubt: Doubt | undefined) => void {
  const uploads = values.flatMap((value) => value.host ? [{ ref: new WeakRef(value), host: value.host }] : []);
  return (doubt) => {
    if (!doubt || uploads.length === 0) return;
    for (const { ref } of uploads) if (ref.deref()?.state === "ready") ref.deref()!.doubts = [doubt];
    doubt.settled.then(() => {
      for (const { ref, host } of doubt.error ? uploads : []) {
        const value = ref.deref();
        if (value?.state !== "ready") continue;
        free(value);
        Object.assign(value, { state: "ready", host, doubts: undefined });
      }
    });
  };
}

/** One doubt for several, so that what is computed step by step does not carry a list of them. */
export function joined(doubts: readonly Doubt[]): Doubt {
  if (doubts.length === 1) return doubts[0];
  const all = Promise.all(doubts.map(({ settled }) => settled));
  return new Doubt(all.then(() => doubts.find(({ error }) => error)?.error));
}

/** What has to be known before some values can be relied on. */
export function doubtsOf(values: readonly Value[]): Doubt[] {
  const open = values.flatMap(({ doubts = [] }) => doubts).filter(({ isSettled, error }) => !isSettled || error);
  return [...new Set(open)];
}

/** What is read, once it is known that none of it was refused. */
export async function relied<T>(read: Promise<T>, doubts: readonly Doubt[]): Promise<T> {
  const [data] = await Promise.allSettled([read, ...doubts.map(({ settled }) => settled)]);
  const failed = doubts.find(({ error }) => error);
  if (failed) throw failed.error;
  if (data.status === "rejected") throw data.reason;
  return data.value;
}
