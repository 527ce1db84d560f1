/**
 * Documents as token ids, as the model was trained to see them: each begins and ends with the tokens that the model knows for that.
 *
 * @module
 */

import { encodeChat, type EncodedChat } from "../tokenizer/chat.ts";
import { byteTokenizer } from "../tokenizer/bytes.ts";
import { type TokenizerPool, tokenizerPool } from "../tokenizer/pool.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { joint } from "./cut.ts";
import type { Piece } from "./document.ts";

/** How a model reads text: what decides which ids a document becomes. */
export interface TextFormat {
  /** Text to ids. */
  readonly tokenizer: Tokenizer;
  /** Token that begins every document; none where it is absent. */
  readonly beginToken?: number;
  /** Tokens that end a text, of which the first one ends every document; none where there is none. */
  readonly endTokens?: readonly number[];
  /** The model's chat template, in Jinja; conversations are refused without it. */
  readonly chatTemplate?: string;
  /** Whether the spelling of a special token in a text is that token: false by default, it is text like any other. */
  readonly parseSpecial?: boolean;
}

/** Ids of a piece, with what frames its document. */
export interface EncodedPiece {
  /** What the chat template says against a conversation, which has no ids then. */
  readonly refused?: string;
  readonly ids: Uint32Array;
  /** 1 where the model learns to predict an id, as long as `ids`; absent where it learns all of them. */
  readonly learned?: Uint8Array;
  readonly piece: LocatedPiece;
}

/** A piece, and a number that depends on how its document begins, from 0 to 1, evenly spread. */
export type LocatedPiece = Piece & { readonly fate: number };

/** Encodes pieces, in their order. `using` ends its workers. */
export interface PieceEncoder extends Disposable {
  encode(pieces: AsyncIterable<LocatedPiece>): AsyncGenerator<EncodedPiece>;
}

/**
 * An encoder of a format.
 *
 * @param options `workers`: threads that share the texts; with 0, this one encodes
 */
export function pieceEncoder(format: TextFormat, { workers }: { readonly workers: number }): PieceEncoder {
  const { tokenizer, parseSpecial = false } = format;
  const isPooled = workers > 0 && tokenizer !== byteTokenizer;
  const settings = { workers, parseSpecial, allowUnknown: true }; // what was let pass once is not asked about again
  const pool: TokenizerPool | undefined = isPooled ? tokenizerPool(tokenizer.toJSON(), settings) : undefined;
  const marks = tokenizer.encode(joint).length;
  return {
    async *encode(pieces) {
      const waiting: LocatedPiece[] = [];
      async function* texts() {
        for await (const piece of pieces) {
          waiting.push(piece);
          yield "messages" in piece ? "" : piece.begins ? piece.text : joint + piece.text;
        }
      }
      for await (const ids of pool ? pool.encodeAll(texts()) : encodeHere(tokenizer, texts(), parseSpecial)) {
        const piece = waiting.shift()!;
        yield "messages" in piece
          ? { ...await encodeConversation(format, piece), piece }
          : { ids: framed(piece.begins ? ids : ids.subarray(marks), piece, format), piece };
      }
    },
    [Symbol.dispose]: () => pool?.close(),
  };
}

async function* encodeHere(tokenizer: Tokenizer, texts: AsyncIterable<string>, parseSpecial: boolean) {
  for await (const text of texts) yield tokenizer.encode(text, { parseSpecial });
}

/** The token that ends a document; none where it is the one that begins the next: a token that does both stands once. */
const endOf = ({ beginToken, endTokens = [] }: Pick<TextFormat, "beginToken" | "endTokens">): readonly number[] =>
  endTokens.slice(0, endTokens[0] === beginToken ? 0 : 1);

/** Ids of a text between the tokens that begin and end its document. */
function framed(ids: Uint32Array, { begins, ends }: Piece, format: TextFormat): Uint32Array {
  const { beginToken } = format;
  const before = begins && beginToken !== undefined ? [beginToken] : [];
  const after = ends ? endOf(format) : [];
  if (before.length + after.length === 0) return ids;
  const whole = new Uint32Array(before.length + ids.length + after.length);
  whole.set(before);
  whole.set(ids, before.length);
  whole.set(after, before.length + ids.length);
  return whole;
}

type Conversation = Extract<Piece, { messages: unknown }>;

/** A conversation as its template writes it, or what the template says against it. */
async function encodeConversation(format: TextFormat, piece: Conversation): Promise<Omit<EncodedPiece, "piece">> {
  const { tokenizer, chatTemplate, beginToken, endTokens = [] } = format;
  if (chatTemplate === undefined) {
    throw new TypeError(`Cannot read "${piece.path}": row ${piece.row} is a conversation, and the model has no chat template`);
  }
  const spelling = (token?: number) => token === undefined ? undefined : tokenizer.decode([token]);
  const options = { bosToken: spelling(beginToken), eosToken: spelling(endTokens[0]) };
  try {
    return framedConversation(await encodeChat(tokenizer, chatTemplate, piece.messages, options), piece, format);
  } catch (error) {
    if (error instanceof TypeError && error.message.startsWith("Cannot ")) {
      return { ids: new Uint32Array(0), refused: error.message };
    }
    throw error;
  }
}

/** Adds the begin token and one that ends it where the template has neither. */
function framedConversation(
  { ids, isAssistant }: EncodedChat,
  piece: Conversation,
  { tokenizer, beginToken, endTokens = [] }: TextFormat,
): Omit<EncodedPiece, "piece"> {
  const begins = beginToken === undefined || ids[0] === beginToken;
  const ends = endTokens.length === 0 || ids.subarray(-2).some((id) => endTokens.includes(id)); // a line may end behind it
  const missing = { tokenizer, beginToken: begins ? undefined : beginToken, endTokens: ends ? [] : endTokens };
  const whole = framed(ids, piece, missing);
  const learned = new Uint8Array(whole.length);
  learned.set(isAssistant, begins ? 0 : 1);
  if (!ends && piece.messages.at(-1)?.role === "assistant") learned[whole.length - 1] = 1;
  return { ids: whole, learned };
}

/** Characters that decide the fate of a document: no piece that does not end it is shorter, wherever a tokenizer lets it be cut. */
const decisiveLength = 1 << 16;

/** The fate of a document that begins with a piece. */
export function fateOf(piece: Piece): number {
  return hashOf("messages" in piece ? JSON.stringify(piece.messages) : piece.text.slice(0, decisiveLength));
}

/** A hash of a text as a number from 0 to 1 (FNV-1a over its code units, Fowler, Noll and Vo, with the finalizer of MurmurHash3). */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
