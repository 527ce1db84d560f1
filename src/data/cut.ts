/**
 * Long texts in pieces, so that no text is ever in memory as a whole, without changing one id.
 *
 * @module
 */

import type { Piece } from "./document.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Whether the ids of `left` and `right` together are those of each, as {@linkcode idsOfPiece} takes them. */
export type IsCut = (left: string, right: string) => boolean;

/** Settings of {@linkcode cutText}. */
export interface PieceLength {
  /** Characters that a piece has at least, unless the text ends; it is twice as long at most, where it can be cut. */
  readonly pieceLength?: number;
}

/** Characters on either side by which a place is judged: longer than what tokenizers look at. */
const windowLength = 256;
/** Places that are tried before more text is waited for. */
const tries = 32;

/** What is put before a piece that goes on with a text, and taken off its ids: so no tokenizer takes it for a beginning. */
export const joint = "\n";

/** Places where tokenizers begin a word: behind the end of a line, or before a space, between letters or marks. */
const places = /(?<=\S)(?:\n(?=\S)|(?= \p{L}))/gu;

/**
 * A text in pieces. It is cut where `isCut` allows it; where it nowhere does, the piece grows.
 *
 * @param texts the text, in parts of any length
 */
export async function* cutText(
  texts: Iterable<string> | AsyncIterable<string>,
  isCut: IsCut,
  { pieceLength = 1 << 17 }: PieceLength = {},
): AsyncGenerator<Extract<Piece, { text: string }>> {
  let held = "";
  let begins = true;
  let wanted = 2 * pieceLength;
  for await (const text of texts) {
    held += text;
    while (held.length >= wanted) {
      const at = placeIn(held, isCut, pieceLength);
      if (at === undefined) {
        wanted *= 2;
        break;
      }
      yield { text: held.slice(0, at), begins, ends: false };
      held = held.slice(at);
      begins = false;
      wanted = 2 * pieceLength;
    }
  }
  if (!begins || held.trim() !== "") yield { text: held, begins, ends: true };
}

/** Where a text may be cut behind its first `pieceLength` characters. */
function placeIn(text: string, isCut: IsCut, pieceLength: number): number | undefined {
  places.lastIndex = pieceLength;
  for (let tried = 0; tried < tries; tried++) {
    const match = places.exec(text);
    if (!match) return undefined;
    const at = match.index + match[0].length;
    if (match[0].length === 0) places.lastIndex++;
    if (at + windowLength > text.length) return undefined;
    if (isCut(text.slice(Math.max(0, at - windowLength), at), text.slice(at, at + windowLength))) return at;
  }
  return undefined;
}

/** Judges places by what a tokenizer makes of the text around them. */
export function cutBy(tokenizer: Pick<Tokenizer, "encode">): IsCut {
  const mark = tokenizer.encode(joint);
  return (left, right) => {
    const marked = tokenizer.encode(joint + right);
    const whole = tokenizer.encode(left + right);
    const parts = [...tokenizer.encode(left), ...marked.subarray(mark.length)];
    return mark.every((id, at) => marked[at] === id) && parts.length === whole.length &&
      whole.every((id, at) => id === parts[at]);
  };
}
