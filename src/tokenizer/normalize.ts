/**
 * What rewrites a text before it is split: the normalizers of a `tokenizer.json`.
 *
 * @module
 */

import type { JsonObject } from "../io/json.ts";
import { byteSymbols } from "./bytes.ts";
import { stepsOf } from "./fields.ts";
import { compileRegex } from "./regex.ts";

/** A text for a text. */
export type Rewrite = (text: string) => string;

/** All steps of a normalizer, in a row; undefined where there are none. */
export function normalizerOf(part: unknown): Rewrite | undefined {
  const steps = stepsOf(part).map(rewriteOf);
  return steps.length === 0 ? undefined : (text) => steps.reduce((rewritten, step) => step(rewritten), text);
}

const space = "\\p{White_Space}";

function rewriteOf(step: JsonObject): Rewrite {
  switch (step.type) {
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD":
      return (text) => text.normalize(step.type as string);
    case "Lowercase": // character by character: JavaScript has another small sigma at the end of a word
      return (text) => text.includes("Σ") ? text.split("Σ").map((part) => part.toLowerCase()).join("σ") : text.toLowerCase();
    case "StripAccents":
      return (text) => text.replace(/\p{Mn}|\p{Mc}|\p{Me}/gu, "");
    case "Strip": {
      const [left, right] = [new RegExp(`^${space}+`, "u"), new RegExp(`(?<!${space})${space}+$`, "u")];
      const { strip_left: atStart = true, strip_right: atEnd = true } = step;
      return (text) => {
        const rest = atStart ? text.replace(left, "") : text;
        return atEnd ? rest.replace(right, "") : rest;
      };
    }
    case "Prepend":
      return (text) => text === "" ? text : step.prepend as string + text;
    case "Replace":
      return replacement(step);
    default:
      return toByteSymbols; // ByteLevel
  }
}

/** The function that puts `content` where `pattern` is, of a normalizer or a decoder. */
export function replacement({ pattern, content }: JsonObject): Rewrite {
  const { String: literal, Regex: regex } = pattern as { readonly String?: string; readonly Regex?: string };
  if (literal?.length === 1) return (text) => inPieces(text, (piece) => piece.replaceAll(literal, () => content as string));
  if (literal !== undefined) return (text) => literal === "" ? text : text.replaceAll(literal, () => content as string);
  const found = compileRegex(regex!);
  return (text) => {
    let [rewritten, at] = ["", 0];
    found.forEachMatch(text, (start, end) => {
      rewritten += text.slice(at, start) + content;
      at = end;
    });
    return rewritten + text.slice(at);
  };
}

/** Rewrites a long text piece by piece, since the engine lists all that it replaces. */
function inPieces(text: string, rewrite: Rewrite): string {
  const length = 1 << 16;
  let rewritten = "";
  for (let start = 0; start < text.length; start += length) rewritten += rewrite(text.slice(start, start + length));
  return rewritten;
}

const symbols = byteSymbols();
const encoder = new TextEncoder();

/** A text as the symbols of its bytes. */
export function toByteSymbols(text: string): string {
  let spelled = "";
  for (const byte of encoder.encode(text)) spelled += symbols[byte];
  return spelled;
}
