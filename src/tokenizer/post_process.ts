/**
 * What is put around the ids of a text: the post-processors of a `tokenizer.json`, or what `tokenizer_config.json` says instead.
 *
 * @module
 */

import { isJsonObject, type JsonObject } from "../io/json.ts";
import { stepsOf } from "./fields.ts";

/** Ids before a text, and behind it. */
export interface Surroundings {
  readonly before: readonly number[];
  readonly behind: readonly number[];
}

/** What all steps of a post-processor add. Throws a `RangeError` for a template that is not understood. */
export function surroundingsOf(part: unknown): Surroundings {
  return stepsOf(part).map(stepOf).reduce((inner, outer) => ({
    before: [...outer.before, ...inner.before],
    behind: [...inner.behind, ...outer.behind],
  }), { before: [], behind: [] });
}

function stepOf(step: JsonObject): Surroundings {
  switch (step.type) {
    case "TemplateProcessing":
      return template(step);
    case "ByteLevel":
      return { before: [], behind: [] };
    default: // RobertaProcessing, BertProcessing
      return { before: [idOf(step.cls)], behind: [idOf(step.sep)] };
  }
}

function idOf(pair: unknown): number {
  if (Array.isArray(pair) && typeof pair[1] === "number") return pair[1];
  throw new RangeError(`post_processor adds ${JSON.stringify(pair)}, wanted a token and its id`);
}

function template({ single, special_tokens: tokens }: JsonObject): Surroundings {
  const parts = (Array.isArray(single) ? single : []).map((each) => isJsonObject(each) ? each : {});
  const at = parts.findIndex((part) => "Sequence" in part);
  if (at < 0 || parts.filter((part) => "Sequence" in part).length > 1) {
    throw new RangeError(`post_processor has the template ${JSON.stringify(single)}, wanted the text once in it`);
  }
  const ids = (some: readonly JsonObject[]) => some.flatMap((part) => idsOf(part, tokens));
  return { before: ids(parts.slice(0, at)), behind: ids(parts.slice(at + 1)) };
}

function idsOf({ SpecialToken: special }: JsonObject, tokens: unknown): number[] {
  const name = isJsonObject(special) ? String(special.id) : "";
  const entry = isJsonObject(tokens) && Object.hasOwn(tokens, name) ? tokens[name] : undefined;
  const ids = isJsonObject(entry) ? entry.ids : undefined;
  if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids;
  throw new RangeError(`post_processor adds ${JSON.stringify(name)}, which its special_tokens do not have`);
}
