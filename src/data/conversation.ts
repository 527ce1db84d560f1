/**
 * Conversations as data sets store them.
 *
 * @module
 */

import { isJsonObject } from "../io/json.ts";
import type { ChatMessage } from "../tokenizer/chat.ts";

/** Names that data sets have for those who speak. */
const roles: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  prompter: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bot: "assistant",
  model: "assistant",
  assistant: "assistant",
  system: "system",
  tool: "tool",
  function: "tool",
  observation: "tool",
};

/**
 * The messages of a conversation: objects of `role` and `content`, or of `from` and `value`. What is wrong in words where it is none.
 *
 * @param value the field of a row
 */
export function conversationOf(value: unknown): ChatMessage[] | string {
  if (!Array.isArray(value)) {
    return `wanted text or a list of messages, got ${isJsonObject(value) ? "an object" : String(value).slice(0, 40)}`;
  }
  const messages: ChatMessage[] = [];
  for (const [index, message] of value.entries()) {
    if (!isJsonObject(message)) return `message ${index} is no object`;
    const { role = message.from, content = message.value, from: _, value: __, ...rest } = message;
    if (typeof role !== "string") return `message ${index} has no "role" (or "from")`;
    const isCall = Array.isArray(rest.tool_calls) && rest.tool_calls.length > 0; // it may say nothing besides
    if (typeof content !== "string" && !Array.isArray(content) && !isCall) {
      return `message ${index} has no "content" (or "value")`;
    }
    messages.push({ role: roles[role.toLowerCase()] ?? role, content: content ?? "", ...rest });
  }
  return messages;
}
