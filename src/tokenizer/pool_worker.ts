/**
 * What a worker of a pool of tokenizers runs.
 *
 * @module
 */

import type { Answer, Request, Setup } from "./pool.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Request>) => void;
  postMessage(answer: Answer, transfer?: Transferable[]): void;
};

/** The tokenizer, once it is there. */
let encoder: Promise<{ readonly tokenizer: Tokenizer; readonly setup: Setup }>;

scope.onmessage = ({ data }) => {
  if ("setup" in data) {
    encoder = load(data.setup);
    encoder.catch(() => {}); // raised with the first texts
  } else void answer(data.texts);
};

async function load(setup: Setup): Promise<Awaited<typeof encoder>> {
  return { tokenizer: await loadTokenizer(setup.json, setup), setup };
}

async function answer(texts: readonly string[]): Promise<void> {
  try {
    const { tokenizer, setup } = await encoder;
    const each = texts.map((text) => tokenizer.encode(text, setup));
    const counts = Uint32Array.from(each, (ids) => ids.length);
    const ids = new Uint32Array(counts.reduce((sum, count) => sum + count, 0));
    let at = 0;
    for (const some of each) ids.set(some, at), at += some.length;
    scope.postMessage({ ids, counts }, [ids.buffer, counts.buffer]);
  } catch (error) {
    scope.postMessage({ error: error as Error });
  }
}
