/**
 * Tokens to text: the decoders of a `tokenizer.json`.
 *
 * @module
 */

import type { JsonObject } from "../io/json.ts";
import { byteSymbols } from "./bytes.ts";
import { stepsOf } from "./fields.ts";
import { replacement } from "./normalize.ts";
import type { TokenStream } from "./tokenizer.ts";

/** Pieces of text for pieces of text. */
type Step = (tokens: readonly string[]) => string[];

/** Text of the spellings of some tokens. */
export type Decode = (tokens: readonly string[]) => string;

/** What a decoder makes of tokens. Without one they are joined by spaces. */
export function decoderOf(part: unknown): Decode {
  const steps = stepsOf(part).map(stepOf);
  if (steps.length === 0) return (tokens) => tokens.join(" ");
  return (tokens) => steps.reduce<readonly string[]>((pieces, step) => step(pieces), tokens).join("");
}

/** Whether all that a decoder does is to join bytes. */
export function joinsBytes(part: unknown): boolean {
  const steps = stepsOf(part);
  return steps.length === 1 && steps[0].type === "ByteLevel";
}

function stepOf(step: JsonObject): Step {
  switch (step.type) {
    case "ByteLevel":
      return (tokens) => [textDecoder().decode(bytesOf(tokens))];
    case "ByteFallback":
      return fallBack;
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Replace": {
      const replace = replacement(step);
      return (tokens) => tokens.map(replace);
    }
    case "Strip":
      return (tokens) => tokens.map((token) => stripped(token, step));
    case "BPEDecoder": {
      const suffix = (step.suffix ?? "</w>") as string;
      return (tokens) => tokens.map((token, at) => token.replaceAll(suffix, at === tokens.length - 1 ? "" : " "));
    }
    default:
      return metaspace(step);
  }
}

const textDecoder = () => new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const byteOf = new Map(byteSymbols().map((symbol, byte) => [symbol, byte]));

/** Bytes of tokens that are spelt in symbols; a token that has other characters stands for itself. */
export function bytesOf(tokens: readonly string[]): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (const token of tokens) {
    const own = Array.from(token, (char) => byteOf.get(char));
    for (const byte of own.every((byte) => byte !== undefined) ? own : encoder.encode(token)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** Joins tokens of bytes in a row to text. Where that is no UTF-8, each byte is U+FFFD. */
function fallBack(tokens: readonly string[]): string[] {
  const pieces: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) pieces.push(validText(Uint8Array.from(bytes)) ?? "\ufffd".repeat(bytes.length));
    bytes = [];
  };
  for (const token of tokens) {
    const byte = isByte.exec(token);
    if (byte) bytes.push(parseInt(byte[1], 16));
    else flush(), pieces.push(token);
  }
  flush();
  return pieces;
}

function validText(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    return new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function stripped(token: string, { content, start = 0, stop = 0 }: JsonObject): string {
  const chars = [...token];
  let [from, to] = [0, chars.length];
  while (from < (start as number) && chars[from] === content) from++;
  while (chars.length - to < (stop as number) && to > 0 && chars[to - 1] === content) to--;
  return chars.slice(from, to).join("");
}

function metaspace({ replacement: mark = "▁", prepend_scheme: scheme, add_prefix_space: prefixed }: JsonObject): Step {
  const never = scheme === "never" || scheme === undefined && prefixed === false;
  return (tokens) => tokens.map((token, at) => token.replaceAll(mark as string, at === 0 && !never ? "" : " "));
}

/** Streaming of tokens that are bytes. The streams of one tokenizer remember what tokens are that hold whole characters. */
export function byteStreams(spellingOf: (id: number) => string): () => TokenStream {
  const whole = new Map<number, string | undefined>();
  const wholeText = (id: number): string | undefined => {
    if (!whole.has(id)) whole.set(id, validText(bytesOf([spellingOf(id)])));
    return whole.get(id);
  };
  return () => {
    const decoder = textDecoder();
    let isCut = false; // whether bytes may wait for more
    return {
      push(id) {
        const text = isCut ? undefined : wholeText(id);
        if (text !== undefined) return text;
        const bytes = bytesOf([spellingOf(id)]);
        if (bytes.length > 0) isCut = bytes[bytes.length - 1] > 0x7f;
        return decoder.decode(bytes, { stream: true });
      },
      end: () => decoder.decode(),
    };
  };
}

/**
 * What a decoder makes of a token wherever it stands but at the beginning; undefined where that depends on its neighbours, as for bytes.
 * Decoders like SentencePiece's are known so, others never.
 */
export function textsAlone(part: unknown): (token: string) => string | undefined {
  const steps = stepsOf(part);
  const isKnown = ["Replace ByteFallback Fuse", "Replace ByteFallback Fuse Strip"].includes(
    steps.map(({ type }) => type).join(" "),
  );
  if (!isKnown || steps[3]?.stop) return () => undefined;
  const replace = replacement(steps[0]);
  return (token) => isByte.test(token) ? undefined : replace(token);
}

const isByte = /^<0x([0-9a-fA-F]{2})>$/;

/** Ids that are held back at most: a character has four bytes, which may be a token each. */
const mostPending = 8;

/**
 * Streaming with a decoder that only knows whole texts. Ids are held back while the text ends inside a character, and decoded together
 * with those told before them, since some decoders treat the first id of a text in a special way.
 */
export function windowStream(
  decode: (ids: readonly number[]) => string,
  textOf: (id: number) => string | undefined = () => undefined,
): TokenStream {
  let told: number[] = [];
  let pending: number[] = [];
  const take = (): string => {
    const text = decode([...told, ...pending]).slice(decode(told).length);
    [told, pending] = [pending, []];
    return text;
  };
  return {
    push(id) {
      const alone = pending.length === 0 && told.length > 0 ? textOf(id) : undefined;
      if (alone !== undefined) {
        told = [id];
        return alone;
      }
      pending.push(id);
      const isCut = pending.length < mostPending && decode([...told, ...pending]).endsWith("\uFFFD");
      return isCut ? "" : take();
    },
    end: () => pending.length === 0 ? "" : take(),
  };
}
