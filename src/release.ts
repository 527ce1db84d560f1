/**
 * Files of the release of 2026: its configuration, its traces, and its rule of which linear maps are quantized.
 *
 * @module
 */

import { atCaller } from "./core/errors.ts";
import { isJsonObject } from "./core/json.ts";

/** The codebooks that have a name. */
const namedCodebooks: Readonly<Record<string, readonly number[]>> = {
  ternary: [-1, 0, 1],
  binary: [-1, 1],
  int2: [-2, -1, 0, 1],
};

/**
 * The codebook that a text names: "ternary", "binary" (-1, 1), "int2" (-2, -1, 0, 1), or two or more numbers with commas between, in any
 * order.
 *
 * @throws RangeError where the text is neither
 */
export function codebookOf(text: string): readonly number[] {
  if (Object.hasOwn(namedCodebooks, text)) return namedCodebooks[text];
  const entries = text.split(",").map((part) => part.trim() === "" ? NaN : Number(part));
  const codes = [...new Set(entries)].sort((a, b) => a - b);
  if (codes.length >= 2 && codes.every(Number.isFinite)) return codes;
  throw atCaller(
    new RangeError(
      `Cannot quantize to the codebook "${text}": wanted ${
        Object.keys(namedCodebooks).join(", ")
      }, or two numbers or more, such as -1,0,1`,
    ),
  );
}

/** Content of `hestia_config.json`, as the release writes it beside a checkpoint of latent weights. */
export interface ReleaseConfig {
  /** The relaxation, or straight-through rounding. */
  readonly method: "hestia" | "ste";
  /** "ternary", "binary", "int2", "fairy2i" (complex phases), or numbers with commas between. */
  readonly codebook: string;
  readonly group_size: number;
  /** Added to each scale. */
  readonly scale_eps: number;
  readonly compress_ratio: number;
  readonly init_temp: number;
  readonly alpha: number;
  readonly kappa: number;
  /** Linear maps that are not quantized: see {@linkcode isSkipped}. */
  readonly skip_modules: readonly string[];
  /** Passes of complex phases. */
  readonly fairy2i_steps: number;
}

const defaults: ReleaseConfig = {
  method: "hestia",
  codebook: "ternary",
  group_size: 128,
  scale_eps: 1e-5,
  compress_ratio: 0.2,
  init_temp: 0.3,
  alpha: 0.4,
  kappa: 1,
  skip_modules: ["lm_head"],
  fairy2i_steps: 2,
};

/** What each field must be, and whether a value is that. */
const rules: Readonly<Record<keyof ReleaseConfig, readonly [wanted: string, fits: (value: unknown) => boolean]>> = {
  method: ['"hestia" or "ste"', (value) => value === "hestia" || value === "ste"],
  codebook: ["a text", (value) => typeof value === "string"],
  group_size: ["a whole number of at least -1", (value) => Number.isInteger(value) && (value as number) >= -1],
  scale_eps: ["a number of at least 0", (value) => isFinite(value) && value >= 0],
  compress_ratio: ["a number from 0 to below 1", (value) => isFinite(value) && value >= 0 && value < 1],
  init_temp: ["a number above 0", (value) => isFinite(value) && value > 0],
  alpha: ["a number", isFinite],
  kappa: ["a number", isFinite],
  skip_modules: ["a list of names", (value) => Array.isArray(value) && value.every((name) => typeof name === "string")],
  fairy2i_steps: ["a whole number of at least 1", (value) => Number.isInteger(value) && (value as number) >= 1],
};

function isFinite(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/**
 * The configuration of the release with its defaults filled in.
 *
 * @param value fields that differ from the defaults, as parsed from JSON
 * @throws RangeError that names a field which is unknown or has a value that it cannot have
 */
export function releaseConfig(value: unknown): ReleaseConfig {
  const fail = (why: string) => new RangeError(`Cannot read a configuration of the release: ${why}`);
  if (!isJsonObject(value)) throw fail(`wanted an object, got ${JSON.stringify(value)}`);
  const unknown = Object.keys(value).find((field) => !Object.hasOwn(rules, field));
  if (unknown !== undefined) throw fail(`${unknown} is not a field; there are ${Object.keys(rules).join(", ")}`);
  const config = { ...defaults, ...value } as ReleaseConfig;
  for (const [field, [wanted, fits]] of Object.entries(rules)) {
    const got = config[field as keyof ReleaseConfig];
    if (!fits(got)) throw fail(`${field} must be ${wanted}, got ${JSON.stringify(got)}`);
  }
  if (config.codebook !== "fairy2i") codebookOf(config.codebook);
  else if (config.method === "ste") throw fail("the codebook fairy2i is for the method hestia");
  return config;
}

/** Fields of a configuration that are whole numbers in the file; other numbers are written with a point. */
const wholeFields: readonly string[] = ["group_size", "fairy2i_steps"];

/** The text of a configuration, letter by letter as the release writes it. */
export function releaseConfigText(config: ReleaseConfig): string {
  const fields = Object.keys(rules).map((field) => {
    const value = config[field as keyof ReleaseConfig];
    const text = typeof value === "number" && !wholeFields.includes(field)
      ? pythonFloat(value)
      : JSON.stringify(value, null, 2).replaceAll("\n", "\n  ");
    return `  "${field}": ${text}`;
  });
  return `{\n${fields.join(",\n")}\n}`;
}

/** A number as Python writes it: with a point or an exponent of two digits. */
function pythonFloat(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** Name of the quantizer that a configuration of the release describes. */
export function quantizerNameOf({ method, codebook, fairy2i_steps: steps }: ReleaseConfig): string {
  if (codebook === "fairy2i") return `fairy_v${steps}`;
  return `${method === "ste" ? "ternary" : "hestia"}:${codebook}`;
}

/**
 * Whether the release leaves the linear map of this name in full precision: it is an entry of `skip`, or ends with a dot and an entry.
 *
 * @param name of the module: without `.weight`
 */
function isSkipped(name: string, skip: readonly string[]): boolean {
  return skip.some((entry) => name === entry || name.endsWith(`.${entry}`));
}

/**
 * Whether the release quantizes a linear map: unless it is skipped, or has an odd side where weights are complex numbers.
 *
 * @param shape `[out, in]`; where it is absent, the sides count as even
 */
export function isQuantizable(
  name: string,
  { skip_modules: skip, codebook }: Pick<ReleaseConfig, "skip_modules" | "codebook">,
  shape: readonly number[] = [],
): boolean {
  return !isSkipped(name, skip) && !(codebook === "fairy2i" && shape.some((length) => length % 2 === 1));
}

/** Name of a tensor from a key of a file of traces: keys of the code of 2025 begin with a running number, `layer_3_`. */
export function tracedName(key: string): string {
  return key.replace(/^layer_\d+_/, "");
}

/**
 * Traces by name from a file of the release: `{"traces": {name: trace}, …}`, or such names and numbers alone.
 *
 * @throws RangeError where the text is neither
 */
export function tracesFromText(text: string): Record<string, number> {
  const value: unknown = JSON.parse(text);
  const traces = isJsonObject(value) && isJsonObject(value.traces) ? value.traces : value;
  if (!isJsonObject(traces)) throw new RangeError("Cannot read traces: wanted an object of names and numbers");
  const wrong = Object.entries(traces).find(([, trace]) => !isFinite(trace));
  if (wrong) throw new RangeError(`Cannot read traces: "${wrong[0]}" must be a finite number, got ${JSON.stringify(wrong[1])}`);
  return Object.fromEntries(Object.entries(traces as Record<string, number>).map(([key, trace]) => [tracedName(key), trace]));
}
