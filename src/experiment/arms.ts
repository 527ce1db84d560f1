/**
 * The arms of an experiment: what is done with the base. A new one is an entry of the table.
 *
 * @module
 */

import type { Curvature } from "../pipeline/calibrate.ts";
import type { AnnealingOptions } from "../quant/annealing.ts";
import type { QuantizerName } from "../quant/registry.ts";
import { type RecipeName, recipes, type RuleOptions, type WeightRules } from "../recipes.ts";

/** What sets one arm apart from the others. */
export interface Arm {
  /** As typed after `--arms`, in file names and in tables of settings. */
  readonly name: string;
  /** As people read it. */
  readonly label: string;
  readonly quantizer: QuantizerName;
  /** The base is rounded and not trained. */
  readonly untrained?: boolean;
  /** Strength of the Hessian guidance; without it every tensor has the same temperature. */
  readonly alpha?: number;
  /** Weights that share a scale; that of the configuration by default. */
  readonly groupSize?: number;
  /** What guides the temperatures; that of the configuration by default. */
  readonly curvature?: Curvature;
  /** Peak learning rate; that of the configuration by default. */
  readonly learningRate?: number;
  /** What differs from the schedule of the configuration. */
  readonly annealing?: Omit<AnnealingOptions, "totalSteps">;
  /** Follows a release in all that its recipe says, whatever the configuration says of that. */
  readonly recipe?: RecipeName;
  /** Rules of the weights that differ from those of the configuration. */
  readonly weights?: RuleOptions<WeightRules>;
}

/** The arm that gaps are closed towards. */
export const fullPrecisionArm = "full-precision";
/** The arm that gaps are measured from. */
export const roundedArm = "rounded";
/** The arm that others are compared with where a configuration names none. */
export const baselineArm = "ste";

/** Every arm, in the order of tables. */
export const arms: readonly Arm[] = [
  { name: fullPrecisionArm, label: "full precision, trained on", quantizer: "none" },
  { name: roundedArm, label: "rounded, not trained", quantizer: "ternary", untrained: true },
  { name: baselineArm, label: "absmean STE", quantizer: "ternary" },
  { name: "twn", label: "TWN", quantizer: "twn" },
  { name: "lsq", label: "LSQ", quantizer: "lsq" },
  { name: "seq", label: "ParetoQ (SEQ)", quantizer: "seq" },
  { name: "dlt", label: "DLT", quantizer: "dlt" },
  { name: "tequila", label: "Tequila", quantizer: "tequila" },
  { name: "hestia", label: "Hestia without guidance", quantizer: "hestia" },
  { name: "hestia-0.4", label: "Hestia, α = 0.4", quantizer: "hestia", alpha: 0.4 },
  { name: "hestia-0.5", label: "Hestia, α = 0.5", quantizer: "hestia", alpha: 0.5 },
  { name: "hestia-minus-0.4", label: "Hestia, α = -0.4", quantizer: "hestia", alpha: -0.4 },
  {
    name: "hestia-detached",
    label: "Hestia, scales constant in the gradient",
    quantizer: "hestia",
    weights: { scaleGradient: false },
  },
  ...Object.values(recipes).flatMap(({ name, guidance: { alpha } }): Arm[] => [
    { name, label: `Hestia as released in ${name.slice(-4)}, α = ${alpha}`, quantizer: "hestia", recipe: name, alpha },
    { name: `${name}-ste`, label: `absmean STE as released in ${name.slice(-4)}`, quantizer: "ternary", recipe: name },
  ]),
  { name: "ste-channel", label: "absmean STE, a scale per channel", quantizer: "ternary", groupSize: -1 },
  { name: "hestia-channel", label: "Hestia, a scale per channel", quantizer: "hestia", groupSize: -1 },
  { name: "ste-tensor", label: "absmean STE, a scale per tensor", quantizer: "ternary", groupSize: 0 },
  { name: "hestia-tensor", label: "Hestia, a scale per tensor", quantizer: "hestia", groupSize: 0 },
];

/** What runs where nobody asks for more. */
export const defaultArms: readonly string[] = [fullPrecisionArm, roundedArm, baselineArm, "hestia", "hestia-0.4"];

/** The arm of a name. Throws a RangeError that lists the names there are. */
export function armNamed(name: string): Arm {
  const found = arms.find((arm) => arm.name === name);
  if (found) return found;
  throw new RangeError(`Cannot run the arm "${name}": wanted one of ${arms.map((arm) => arm.name).join(", ")}`);
}
