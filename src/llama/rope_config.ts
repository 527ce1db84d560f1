/**
 * The rotary embedding in `config.json`: `rope_theta` and `rope_scaling` of transformers 4, or `rope_parameters` of transformers 5.
 *
 * @module
 */

import { checkFields, type ReadingOptions, short } from "../io/fields.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import { attentionFactor, type RopeScaling, yarnSize } from "../nn/rotary.ts";
import type { HuggingFaceConfig, LlamaConfig } from "./config.ts";
import { ropeFields } from "./config_fields.ts";

type Options = ReadingOptions & { readonly action: string };

/** Reads base and scaling from the fields that say them. Throws where a type is not known, is incomplete, or two fields disagree. */
export function ropeOf(json: HuggingFaceConfig, options: Options): Pick<LlamaConfig, "ropeTheta" | "ropeScaling"> {
  const { action } = options;
  const scaling = ropeObject(json, "rope_scaling", options);
  const parameters = ropeObject(json, "rope_parameters", options);
  const thetas = [parameters?.rope_theta, scaling?.rope_theta, json.rope_theta].filter((theta) =>
    theta !== undefined
  ) as number[];
  if (thetas.some((theta) => theta !== thetas[0])) {
    throw new TypeError(`${action}: rope_theta is said twice, as ${[...new Set(thetas)].join(" and ")}`);
  }
  const [ofParameters, ofScaling] = [parameters, scaling].map((object) => object && scalingOf(object, options));
  if (parameters && scaling && short(ofParameters) !== short(ofScaling)) {
    throw new TypeError(`${action}: rope_parameters ${short(parameters)} and rope_scaling ${short(scaling)} disagree`);
  }
  const found = ofParameters ?? ofScaling;
  return { ropeTheta: thetas[0] ?? 10_000, ...(found ? { ropeScaling: found } : {}) };
}

function ropeObject(
  json: HuggingFaceConfig,
  field: "rope_scaling" | "rope_parameters",
  options: Options,
): JsonObject | undefined {
  const object = json[field];
  if (!isJsonObject(object) || Object.keys(object).length === 0) return undefined;
  const said = Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined));
  checkFields(said, ropeFields, { ...options, what: `NAME in ${field} of config.json` });
  const { rope_type, type } = said;
  if (rope_type !== undefined && type !== undefined && rope_type !== type) {
    throw new TypeError(`${options.action}: rope_type is ${short(rope_type)} and type ${short(type)} in ${field}`);
  }
  const rest = Object.keys(said).filter((name) => !["rope_theta", "partial_rotary_factor"].includes(name));
  if (rope_type === undefined && type === undefined && rest.length > 0) {
    throw new TypeError(`${options.action}: ${field} has ${rest.join(", ")}, but no rope_type`);
  }
  return { ...said, rope_type: rope_type ?? type ?? "default" };
}

function scalingOf(object: JsonObject, { action }: Options): RopeScaling | undefined {
  const type = object.rope_type as "default" | "linear" | "llama3" | "yarn";
  const number = (field: string): number => {
    if (typeof object[field] === "number") return object[field];
    throw new TypeError(`${action}: rope scaling of type "${type}" is incomplete: ${field} is missing`);
  };
  if (type === "default") return undefined;
  const factor = number("factor");
  if (type === "linear") return { type, factor };
  const originalMaxPositions = number("original_max_position_embeddings");
  if (type === "yarn") return yarnOf(object, { factor, originalMaxPositions });
  const [lowFrequencyFactor, highFrequencyFactor] = [number("low_freq_factor"), number("high_freq_factor")];
  if (highFrequencyFactor > lowFrequencyFactor) return { factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions };
  throw new TypeError(
    `${action}: high_freq_factor must be above low_freq_factor, got ${highFrequencyFactor} and ${lowFrequencyFactor}`,
  );
}

/** Attention factor as transformers computes it: as given, or from the two scales, or from the factor. */
function yarnOf(
  { beta_fast: betaFast = 32, beta_slow: betaSlow = 1, attention_factor: given, mscale, mscale_all_dim: all, truncate }:
    JsonObject,
  { factor, originalMaxPositions }: { readonly factor: number; readonly originalMaxPositions: number },
): RopeScaling {
  const scale = (size: unknown) => (yarnSize(factor) - 1) * Number(size) + 1;
  const size = typeof given === "number" ? given : mscale && all ? scale(mscale) / scale(all) : yarnSize(factor);
  return {
    type: "yarn",
    factor,
    originalMaxPositions,
    betaFast: betaFast as number,
    betaSlow: betaSlow as number,
    attentionFactor: size,
    ...(truncate === false ? { truncate } : {}),
  };
}

/** The fields of `config.json` that say base and scaling, as transformers 4 writes them. */
export function ropeJson({ ropeTheta, ropeScaling }: LlamaConfig): Pick<HuggingFaceConfig, "rope_theta" | "rope_scaling"> {
  return { rope_theta: ropeTheta, rope_scaling: ropeScaling ? scalingJson(ropeScaling) : null };
}

function scalingJson(scaling: RopeScaling): JsonObject {
  if (scaling.type === "linear") return { rope_type: "linear", factor: scaling.factor };
  const common = { factor: scaling.factor, original_max_position_embeddings: scaling.originalMaxPositions };
  if (scaling.type === "yarn") {
    const { betaFast = 32, betaSlow = 1, truncate } = scaling;
    const bounds = { beta_fast: betaFast, beta_slow: betaSlow, ...(truncate === false ? { truncate } : {}) };
    return { rope_type: "yarn", ...common, ...bounds, attention_factor: attentionFactor(scaling) };
  }
  return {
    rope_type: "llama3",
    ...common,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
  };
}
