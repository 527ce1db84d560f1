/**
 * Many texts, encoded on all cores.
 *
 * @module
 */

import type { EncodeOptions, TokenizerJson } from "./tokenizer.ts";
import type { LoadTokenizerOptions } from "./tokenizer.ts";

/** How {@linkcode tokenizerPool} loads the tokenizer, and how it encodes. */
export interface TokenizerPoolOptions extends EncodeOptions, LoadTokenizerOptions {
  /** Number of worker threads; one for each core by default. */
  readonly workers?: number;
}

/** Worker threads that encode texts. They keep a process alive: close them, or hold them with `using`. */
export interface TokenizerPool extends Disposable {
  /**
   * Ids of many texts, in their order, as `encode` gives them. Texts are taken as the results are asked for: a few for each worker are
   * on the way at any time, so neither all texts nor all ids are ever in memory.
   */
  encodeAll(texts: Iterable<string> | AsyncIterable<string>): AsyncGenerator<Uint32Array<ArrayBuffer>, void>;
  /** Ends the workers. What was not yet encoded raises an error. */
  close(): void;
}

/** What a worker is told first. */
export interface Setup extends EncodeOptions, LoadTokenizerOptions {
  /** Content of `tokenizer.json`. */
  readonly json: TokenizerJson;
}

/** What a worker is sent. */
export type Request = { readonly setup: Setup } | { readonly texts: readonly string[] };

/** What it answers, request by request: the ids of all texts, one behind the other, and how many each has. */
export type Answer = { readonly ids: Uint32Array<ArrayBuffer>; readonly counts: Uint32Array<ArrayBuffer> } | {
  readonly error: Error;
};

type Ids = Extract<Answer, { readonly ids: unknown }>;

/** A message is worth sending from this many characters on. */
const batchCharacters = 1 << 17;
/** Batches on the way for each worker: one to work on, one that waits. */
const batchesPerWorker = 2;

/**
 * Worker threads that encode texts by one tokenizer.
 *
 * @param json Content of a `tokenizer.json`, such as `tokenizer.toJSON()`.
 *
 * @example
 * ```ts
 * import { byteTokenizer, tokenizerPool } from "@hestia/hestia";
 * using pool = tokenizerPool(byteTokenizer.toJSON(), { workers: 2 });
 * for await (const ids of pool.encodeAll(["one", "two"])) console.log(ids); // 111,110,101 and 116,119,111
 * ```
 */
export function tokenizerPool(json: TokenizerJson, options: TokenizerPoolOptions = {}): TokenizerPool {
  const { workers: count = navigator.hardwareConcurrency, ...rest } = options;
  if (!(Number.isInteger(count) && count > 0)) {
    throw new RangeError(`Cannot start ${count} workers: wanted a whole number above 0`);
  }
  const threads = Array.from({ length: count }, () => new Thread({ json, ...rest }));
  const close = (): void => threads.forEach((thread) => thread.close());
  return { encodeAll: (texts) => encodeAll(threads, texts), close, [Symbol.dispose]: close };
}

async function* encodeAll(
  threads: readonly Thread[],
  texts: Iterable<string> | AsyncIterable<string>,
): AsyncGenerator<Uint32Array<ArrayBuffer>, void> {
  const onTheWay: Promise<Ids>[] = [];
  for await (const batch of batchesOf(texts)) {
    const idlest = threads.reduce((best, thread) => thread.waiting < best.waiting ? thread : best);
    const ids = idlest.encode(batch);
    ids.catch(() => {}); // raised where it is awaited
    onTheWay.push(ids);
    if (onTheWay.length >= batchesPerWorker * threads.length) yield* split(await onTheWay.shift()!);
  }
  for (const ids of onTheWay) yield* split(await ids);
}

async function* batchesOf(texts: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string[], void> {
  let [batch, characters]: [string[], number] = [[], 0];
  for await (const text of texts) {
    batch.push(text);
    characters += text.length + 64; // many empty texts are work too
    if (characters < batchCharacters) continue;
    yield batch;
    [batch, characters] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

function* split({ ids, counts }: Ids): Generator<Uint32Array<ArrayBuffer>, void> {
  let start = 0;
  for (const count of counts) yield ids.slice(start, start += count);
}

/** A worker, and the batches that it has not answered yet. */
class Thread {
  readonly #worker = new Worker(new URL("./pool_worker.ts", import.meta.url), { type: "module" });
  readonly #waiting: PromiseWithResolvers<Ids>[] = [];
  #failure?: Error;

  constructor(setup: Setup) {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => this.#settle(data));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(new Error(`Cannot encode: a worker ended: ${event.message}`));
    });
    this.#send({ setup });
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  encode(texts: readonly string[]): Promise<Ids> {
    if (this.#failure) return Promise.reject(this.#failure);
    const answer = Promise.withResolvers<Ids>();
    this.#waiting.push(answer);
    this.#send({ texts });
    return answer.promise;
  }

  close(): void {
    this.#worker.terminate();
    this.#fail(new Error("Cannot encode: the pool of tokenizers is closed"));
  }

  #send(request: Request): void {
    this.#worker.postMessage(request);
  }

  #settle(answer: Answer): void {
    const oldest = this.#waiting.shift();
    if ("ids" in answer) oldest?.resolve(answer);
    else oldest?.reject(answer.error);
  }

  #fail(failure: Error): void {
    this.#failure ??= failure;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}
