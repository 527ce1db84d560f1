/**
 * Programs that watch runs, besides our own page: TensorBoard by its files, Trackio by its HTTP route. What fails there is said once, and
 * training goes on; the files of the run hold everything.
 *
 * @module
 */

import { fileVersion, scalars } from "../report/tensorboard.ts";
import { reasonOf } from "./files.ts";
import type { RunListener, RunRecord } from "./run_records.ts";

/** Numbers of a record by the names that trackers group by, and the step on the axis of the run. */
export function trackedNumbers(record: RunRecord): Record<string, number> {
  if ("tensors" in record) {
    const named = Object.entries(record.tensors).flatMap(([name, { shares, ...numbers }]) => [
      ...Object.entries(numbers).map(([field, value]) => [`${field}/${name}`, value] as const),
      ...shares ? [[`zeros/${name}`, shares[1]] as const] : [],
    ]);
    return Object.fromEntries(named);
  }
  const { step: _, phase, ...values } = record;
  const numbers = Object.entries(values).filter(([, value]) => typeof value === "number") as [string, number][];
  return Object.fromEntries(numbers.map(([field, value]) => [`${phase}/${field}`, value]));
}

/** Steps of the quantized phase follow those of full precision. */
export interface StepAxis {
  readonly pretrainSteps: number;
}

const stepOn = ({ pretrainSteps }: StepAxis, { phase, step }: RunRecord) => phase === "quantize" ? pretrainSteps + step : step;

/** Appends to a new event file in `folder`. */
export function tensorBoard(folder: string, axis: StepAxis): RunListener {
  Deno.mkdirSync(folder, { recursive: true });
  const now = () => Date.now() / 1000;
  const path = `${folder}/events.out.tfevents.${Math.floor(now())}.${crypto.randomUUID().slice(0, 8)}`;
  const file = Deno.openSync(path, { createNew: true, append: true });
  file.writeSync(fileVersion(now()));
  return {
    name: path,
    tell: (record) => void file.writeSync(scalars(trackedNumbers(record), { step: stepOn(axis, record), wallTime: now() })),
    close: () => file.close(),
  };
}

/** Times that a request is tried, and the longest that it may take. */
const patience = { tries: 3, milliseconds: 5000 };

/**
 * Sends records to a Trackio server, in the background, many at once: POST `ADDRESS/api/bulk_log`. A token stands in the environment as
 * TRACKIO_WRITE_TOKEN, or in the address as `?write_token=…`. Throws a TypeError where the address is none.
 */
export function trackio(
  address: string,
  { project, run, ...axis }: StepAxis & { readonly project: string; readonly run: string },
): RunListener {
  const { origin, pathname, searchParams } = new URL(address);
  const token = searchParams.get("write_token") ?? Deno.env.get("TRACKIO_WRITE_TOKEN") ?? null;
  const route = `${origin}${pathname.replace(/\/$/, "")}/api/bulk_log`;
  let waiting: unknown[] = [];
  let sending: Promise<void> = Promise.resolve();
  let failure: Error | undefined;
  let isSending = false;
  const send = async () => {
    while (waiting.length > 0 && !failure) {
      const logs = waiting;
      waiting = [];
      await post(route, { args: [], kwargs: { logs, hf_token: null } }, token).catch((error: Error) => failure = error);
    }
    isSending = false;
  };
  return {
    name: `Trackio at ${origin}`,
    tell(record) {
      if (failure) throw failure;
      const step = stepOn(axis, record);
      waiting.push({ project, run, step, metrics: trackedNumbers(record), log_id: crypto.randomUUID() });
      if (isSending) return;
      isSending = true;
      sending = send();
    },
    async close() {
      await sending;
      if (failure) throw failure;
    },
  };
}

async function post(route: string, body: unknown, token: string | null): Promise<void> {
  const headers = { "content-type": "application/json", ...token === null ? {} : { "x-trackio-write-token": token } };
  for (let tries = 1;; tries++) {
    try {
      const signal = AbortSignal.timeout(patience.milliseconds);
      const answer = await fetch(route, { method: "POST", headers, body: JSON.stringify(body), signal });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${route} answers ${answer.status}: ${text.slice(0, 200)}`);
      const { error } = JSON.parse(text || "{}") ?? {};
      if (error) throw new Error(`${route} answers: ${error}`);
      return;
    } catch (error) {
      if (tries === patience.tries) throw new Error(reasonOf(error));
      await new Promise((resolve) => setTimeout(resolve, 300 * tries));
    }
  }
}
