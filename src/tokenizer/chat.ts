/**
 * Conversations as text and as ids, by the chat template that a model comes with.
 *
 * @module
 */

import { Recent } from "../core/recent.ts";
import { isJsonObject } from "../io/json.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** One message of a conversation. Templates may read more fields than these. */
export interface ChatMessage {
  /** Who speaks: "system", "user", "assistant", "tool". */
  readonly role: string;
  /** What is said. */
  readonly content?: unknown;
  /** What else the template reads, such as `tool_calls`. */
  readonly [field: string]: unknown;
}

/** What a template may be told besides the messages. */
export interface ChatOptions {
  /** Whether the text ends where the assistant begins to speak. False by default. */
  readonly addGenerationPrompt?: boolean;
  /** Text of the token that begins a text. */
  readonly bosToken?: string;
  /** Text of the token that ends a text. */
  readonly eosToken?: string;
  /** Descriptions of the tools that the model may call. */
  readonly tools?: readonly unknown[];
  /** Any other variable of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Ids of a conversation. */
export interface EncodedChat {
  /** The ids. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** 1 where an id is of a message of the assistant, the token that ends it included, 0 elsewhere. As long as `ids`. */
  readonly isAssistant: Uint8Array<ArrayBuffer>;
}

type Render = (variables: Record<string, unknown>) => string;

const templates = new Recent<Promise<Render>>(8);

/** The function that a template is. npm `@huggingface/jinja` is loaded when the first one is asked for. */
function compiled(template: string): Promise<Render> {
  return templates.get(template, async () => {
    const { Template } = await import("@huggingface/jinja");
    const parsed = inContext("read the chat template", () => new Template(template));
    return (variables) => inContext("render the chat template", () => parsed.render(variables));
  });
}

function inContext<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new TypeError(`Cannot ${action}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * The text of a conversation.
 *
 * @param template the model's chat template, in Jinja: `chat_template` of its `tokenizer_config.json`
 * @throws {TypeError} where the template cannot be read, or refuses the conversation (`raise_exception`)
 *
 * @example
 * ```ts
 * import { renderChat } from "@hestia/hestia";
 * const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
 * console.log(await renderChat(template, [{ role: "user", content: "Hi" }])); // <user>Hi
 * ```
 */
export async function renderChat(
  template: string,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<string> {
  return (await compiled(template))(variablesOf(messages, options));
}

function variablesOf(messages: readonly ChatMessage[], options: ChatOptions): Record<string, unknown> {
  return {
    messages,
    add_generation_prompt: options.addGenerationPrompt ?? false,
    bos_token: options.bosToken ?? "",
    eos_token: options.eosToken ?? "",
    tools: options.tools ?? null,
    ...options.variables,
  };
}

/** A stretch of a text, from its first character to behind its last. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * The ids of a conversation, and which of them the assistant speaks. Where the template marks that (`{% generation %}`), its marks
 * decide; elsewhere the conversation is rendered message by message, and a turn of the assistant is what stands behind the generation
 * prompt, as far as the special token that ends it. The spelling of a special token within a message is taken for that token, as
 * transformers does.
 *
 * @throws {TypeError} as {@linkcode renderChat}, and where turns cannot be told apart, since the template rewrites earlier messages
 *
 * @example
 * ```ts
 * import { byteTokenizer, encodeChat } from "@hestia/hestia";
 * const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
 * const messages = [{ role: "user", content: "Hi" }, { role: "assistant", content: "Ho" }];
 * const { ids, isAssistant } = await encodeChat(byteTokenizer, template, messages);
 * console.log(byteTokenizer.decode(ids.filter((_, at) => isAssistant[at]))); // "Ho\n"
 * ```
 */
export async function encodeChat(
  tokenizer: Tokenizer,
  template: string,
  messages: readonly ChatMessage[],
  options: Omit<ChatOptions, "addGenerationPrompt"> = {},
): Promise<EncodedChat> {
  const isMarked = /\{%-?\s*generation\s*-?%\}/.test(template);
  const { text, spans } = isMarked
    ? await markedTurns(template, messages, options)
    : await addedTurns(template, messages, { ...options, tokenizer });
  const ids = tokenizer.encode(text, { parseSpecial: true });
  return { ids, isAssistant: idsWithin(spans, { tokenizer, text, ids }) };
}

/** Characters for private use, which stand for the marks of a template. */
const marks = { begin: "\u{F0001}", end: "\u{F0002}" };

async function markedTurns(template: string, messages: readonly ChatMessage[], options: ChatOptions): Promise<Turns> {
  const visible = template.replace(
    /(?:^[ \t]*)?\{%(-?)\s*(end)?generation\s*(-?)%\}\n?/gm,
    (_, before, end, after) => `{{${before} "${end ? marks.end : marks.begin}" ${after}}}`,
  );
  const [first, ...parts] = (await renderChat(visible, messages, options)).split(marks.begin);
  let text = first;
  const spans = parts.map((part) => {
    const start = text.length;
    const [spoken, ...rest] = part.split(marks.end);
    text += spoken + rest.join("");
    return { start, end: start + spoken.length };
  });
  return { text, spans };
}

interface Turns {
  readonly text: string;
  /** The assistant's. */
  readonly spans: readonly Span[];
}

/** Turns by what each adds to the text behind the prompt for it. */
async function addedTurns(
  template: string,
  messages: readonly ChatMessage[],
  { tokenizer, ...options }: ChatOptions & { readonly tokenizer: Tokenizer },
): Promise<Turns> {
  const special = (tokenizer.toJSON().added_tokens ?? []).filter(isJsonObject).filter((token) => token.special === true)
    .map(({ content }) => String(content));
  const text = await renderChat(template, messages, options);
  const spans: Span[] = [];
  for (const [at, message] of messages.entries()) {
    if (message.role !== "assistant") continue;
    const before = await renderChat(template, messages.slice(0, at), { ...options, addGenerationPrompt: true });
    const after = at === messages.length - 1 ? text : await renderChat(template, messages.slice(0, at + 1), options);
    const start = sharedLength(before, text);
    const spoken = endOfContent(message, text, start);
    if (spoken === undefined || start < (spans.at(-1)?.end ?? 0)) throw rewritten(at);
    const end = endOfSpecial(text, spoken, special) ?? sharedLength(after, text);
    if (end < spoken) throw rewritten(at);
    if (end > start) spans.push({ start, end });
  }
  return { text, spans };
}

/** Where the last of what a message says ends in a text, from `start` on; undefined where its content is not there. */
function endOfContent({ role: _, ...said }: ChatMessage, text: string, start: number): number | undefined {
  let end = start;
  for (const part of textsIn(said)) {
    const at = text.indexOf(part, end);
    if (at >= 0) end = at + part.length;
    else if (part === String(said.content).trim()) return undefined;
  }
  return end;
}

/** All texts in a value, without white space around them. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") return value.trim() === "" ? [] : [value.trim()];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** Where the first special token from `start` on ends. */
function endOfSpecial(text: string, start: number, special: readonly string[]): number | undefined {
  const ends = special.map((token) => ({ at: text.indexOf(token, start), token })).filter(({ at }) => at >= 0);
  const first = ends.reduce((a, b) => b.at < a.at ? b : a, { at: Infinity, token: "" });
  return first.at < Infinity ? first.at + first.token.length : undefined;
}

function rewritten(at: number): TypeError {
  return new TypeError(
    `Cannot tell what the assistant says in message ${at}: the chat template writes it otherwise in the whole conversation; ` +
      `wanted a template with {% generation %} marks`,
  );
}

function sharedLength(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

interface Encoded {
  readonly tokenizer: Tokenizer;
  readonly text: string;
  readonly ids: Uint32Array<ArrayBuffer>;
}

/** 1 for ids of whose text something lies in a span. */
function idsWithin(spans: readonly Span[], { tokenizer, text, ids }: Encoded): Uint8Array<ArrayBuffer> {
  const within = new Uint8Array(ids.length);
  const stream = tokenizer.stream();
  let at = 0;
  let next = 0; // of the spans
  for (const [index, id] of ids.entries()) {
    const begin = at;
    at = follow(text, at, stream.push(id));
    while (next < spans.length && begin >= spans[next].end) next++;
    if (next < spans.length && Math.max(at, begin + 1) > spans[next].start && begin < spans[next].end) within[index] = 1;
  }
  return within;
}

/** Where `text` goes on after a piece of it that was decoded. Spaces may differ: tokenizers put some in front, special tokens swallow some. */
function follow(text: string, start: number, piece: string): number {
  if (text.startsWith(piece, start)) return start + piece.length;
  let at = start;
  for (const char of piece) {
    let here = at;
    while (here < text.length && !text.startsWith(char, here) && /\s/.test(text[here])) here++;
    if (text.startsWith(char, here)) at = here + char.length;
    else if (char !== " ") {
      throw new TypeError(
        `Cannot mark the assistant's tokens: ${JSON.stringify(piece)} is decoded where the text goes on with ` +
          JSON.stringify(text.slice(at, at + 20)),
      );
    }
  }
  return at;
}
