/**
 * Requests to the Hub: with the token, patient where it is busy, and with errors that say what to do.
 *
 * @module
 */

import type { HubId } from "./id.ts";
import type { HubSettings } from "./settings.ts";

/** What a request needs to know. */
export interface Requests {
  readonly settings: HubSettings;
  readonly id: HubId;
  readonly signal?: AbortSignal;
  /** Takes a line for people: that the Hub asks to wait. */
  readonly onMessage?: (line: string) => void;
  /** The pause before the second try, in milliseconds; each further one is twice as long. */
  readonly pauseMs: number;
}

/** How often a request is tried that fails for reasons which pass. */
export const TRIES = 6;

const LONGEST_PAUSE_MS = 5 * 60_000;
const MOST_REDIRECTS = 10;

/** What the Hub refuses, or cannot give at all. Its message goes on where "Cannot …: " ends. */
export class HubError extends Error {
  override readonly name = "HubError";
}

/** That the Hub was not reached: something older from the cache may do. */
export class UnreachableError extends HubError {}

/**
 * An answer that is fine (2xx), or says that a range lies behind the end (416). Requests that a busy Hub or a broken connection fails are made again; the token goes to the Hub alone,
 * wherever that redirects to.
 *
 * @throws {HubError} Where it refuses.
 */
export async function patientFetch(url: string, init: RequestInit, requests: Requests): Promise<Response> {
  const { signal, settings, onMessage } = requests;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    const answer = await followed(url, init, requests).catch((error: Error) => error);
    signal?.throwIfAborted();
    if (answer instanceof Response && (answer.ok || answer.status === OUT_OF_RANGE)) return answer;
    const reason = answer instanceof Response ? `status ${answer.status}` : reasonOf(answer);
    if (answer instanceof Response && !passes(answer.status)) throw new HubError(await refusal(answer, requests));
    const wait = answer instanceof Response ? await pauseAsked(answer) : undefined;
    if (attempt === TRIES) {
      const what = `(${reason}, tried ${TRIES} times)`;
      if (answer instanceof Response) throw new HubError(`${settings.endpoint} is out of order or too busy ${what}`);
      throw new UnreachableError(`${settings.endpoint} cannot be reached ${what}`);
    }
    const pause = wait ?? requests.pauseMs * 2 ** (attempt - 1);
    if (wait !== undefined) onMessage?.(`${settings.endpoint} asks to wait ${Math.ceil(wait / 1000)} s`);
    await sleep(Math.min(pause, LONGEST_PAUSE_MS), signal);
  }
}

/** The answer to a range that lies behind the end of a file. */
export const OUT_OF_RANGE = 416;

/** Whether a failure may pass. */
const passes = (status: number) => status === 408 || status === 429 || status >= 500;

/** Milliseconds that an answer asks to wait: `Retry-After`, in seconds or as a date. */
async function pauseAsked(answer: Response): Promise<number | undefined> {
  await answer.body?.cancel();
  const asked = answer.headers.get("retry-after");
  if (asked === null) return undefined;
  const milliseconds = Number.isNaN(Number(asked)) ? Date.parse(asked) - Date.now() : 1000 * Number(asked);
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

/** An answer that is no redirect. */
async function followed(url: string, init: RequestInit, { settings, signal }: Requests): Promise<Response> {
  const ours = new URL(settings.endpoint).origin;
  let at = new URL(url);
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    const headers = new Headers(init.headers);
    if (settings.token && at.origin === ours) headers.set("authorization", `Bearer ${settings.token}`);
    const answer = await fetch(at, { ...init, headers, redirect: "manual", signal });
    const location = answer.status >= 300 && answer.status < 400 ? answer.headers.get("location") : null;
    if (location === null) return answer;
    await answer.body?.cancel();
    at = new URL(location, at);
  }
  throw new HubError(`${url} redirects without end`);
}

/** What a refusal means, and what to do. */
async function refusal(answer: Response, { settings, id }: Requests): Promise<string> {
  const code = answer.headers.get("x-error-code");
  const said = (answer.headers.get("x-error-message") ?? (await answer.text().catch(() => ""))).replace(/\s+/g, " ").trim().slice(
    0,
    200,
  );
  const page = `${settings.endpoint}/${id.kind === "dataset" ? "datasets/" : ""}${id.name}`;
  if (code === "GatedRepo" || answer.status === 403) {
    return settings.token
      ? `its terms must be accepted first, at ${page}, by the user of the token from ${settings.tokenSource} (${answer.status})`
      : `its terms must be accepted first, at ${page}; then ${howToGiveToken(settings)} (${answer.status})`;
  }
  if (answer.status === 401) {
    return settings.token
      ? `the token from ${settings.tokenSource} is not accepted, or may not read it (401); tokens are made at ${settings.endpoint}/settings/tokens`
      : `there is none of that name, or it wants a token (401): ${howToGiveToken(settings)}`;
  }
  if (answer.status === 404) {
    if (code === "RevisionNotFound") return `it has no revision "${id.revision}" (404)`;
    return code === "EntryNotFound"
      ? `${new URL(answer.url).pathname} is not there (404)`
      : `there is none of that name at ${page} (404)`;
  }
  return `${settings.endpoint} answers with status ${answer.status}${said === "" ? "" : ` (${said})`}`;
}

const howToGiveToken = ({ endpoint, tokenPath }: HubSettings): string =>
  `set HF_TOKEN, or write it to ${tokenPath}; tokens are made at ${endpoint}/settings/tokens`;

/** Why a connection failed, without the address, in one line. */
export function reasonOf(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause.message : error.message;
  return cause.replace(/\s+/g, " ").replace(/^error sending request for url \(.*?\):? ?/, "").slice(0, 200);
}

/** Waits. Throws the signal's reason where it is aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal!.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
