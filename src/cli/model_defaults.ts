/**
 * What a configuration takes from the model that it is for: lengths, rates, and the groups that fit its matrices.
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import { isJsonObject } from "../io/json.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { parameterShapes, quantizedNames } from "../llama/parameters.ts";
import { fits, groupFor, misfit, type StorageName, whatFits } from "../pack/fitting.ts";
import { UsageError } from "./errors.ts";

/** Whether the section `model` of a configuration names a model that there is. */
export const namesModel = (input: unknown): input is { readonly path: unknown } =>
  typeof input === "object" && input !== null && "path" in input;

/** What a model that somebody trained changes of the defaults. */
export function withModelDefaults(value: unknown, given: LlamaConfig | undefined): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { model, pretrain, quantize, sample } = value as Record<string, unknown>;
  if (!namesModel(model)) return value;
  const begun = isJsonObject(pretrain) ? pretrain : {};
  return {
    ...(given ? { sequenceLength: Math.min(longestSequence, given.maxPositions) } : {}),
    ...value,
    pretrain: "steps" in begun ? begun : { ...begun, steps: 0 },
    quantize: given && (quantize === undefined || isJsonObject(quantize))
      ? { learningRate: rateFor(given), groupSize: "auto", ...quantize }
      : quantize,
    sample: isJsonObject(sample) ? { prompt: "Once upon a time", ...sample } : sample ?? { prompt: "Once upon a time" },
  };
}

/** Tokens of a sequence where nobody asks for more, and the model takes so many. */
const longestSequence = 1024;

/** Peak learning rate of quantized training: 1e-4 for a thousand million weights, more for fewer, as their root. */
function rateFor(model: LlamaConfig): number {
  const weights = matrixShapes(model).reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  return Number(Math.min(highestRate, 1e-4 * Math.sqrt(1e9 / weights)).toPrecision(2));
}

const highestRate = 2e-3;

/** The group size to train with, which the format holds. Without shapes nothing is known that would forbid one. */
export function groupSizeOf(
  groupSize: number | "auto",
  { format, shapes = [], source }: { readonly format: StorageName; readonly shapes?: readonly Shape[]; readonly source: string },
): number {
  const size = groupSize === "auto" ? groupFor(format, shapes) : groupSize;
  if (size !== undefined && fits(format, shapes, size)) return size;
  const rows = [...new Set(shapes.map(([, columns]) => columns))].join(", ");
  const reason = misfit(format, shapes);
  const wrong = reason
    ? `output.format ${format} ${reason}`
    : `quantize.groupSize ${size} does not fit ${format} and rows of ${rows}`;
  throw new UsageError(`${source}: ${wrong}; what fits this model: ${whatFits(shapes)}`);
}

/** Shapes of the matrices of a model that are quantized. */
export function matrixShapes(config: LlamaConfig): Shape[] {
  const shapes = parameterShapes(config);
  return quantizedNames(config).map((name) => shapes[name]);
}
