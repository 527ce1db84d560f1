/**
 * The list of quantizers: a new one is a file that exports a `Quantizer`, and a line here.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { codebookOf } from "../release.ts";
import { dltQuantizer } from "./dlt.ts";
import { hestiaOver, hestiaQuantizer } from "./hestia.ts";
import { hestiaCodebookQuantizers } from "./hestia_codebooks.ts";
import { integerQuantizers } from "./integer.ts";
import { lsqQuantizer } from "./lsq.ts";
import { phaseQuantizer, phaseQuantizers } from "./phase.ts";
import type { Quantizer } from "./quantizer.ts";
import { seqQuantizer } from "./seq.ts";
import { tequilaQuantizer } from "./tequila.ts";
import { straightThroughOver, ternaryQuantizer } from "./ternary.ts";
import { twnQuantizer } from "./twn.ts";

/** Full precision: the weight itself. */
const none: Quantizer = {
  name: "none",
  summary: "Full precision",
  anneals: false,
  ternary: false,
  quantize: (weight) => weight,
};

/** Every quantizer by name. */
export const quantizers = {
  none,
  ternary: ternaryQuantizer,
  hestia: hestiaQuantizer,
  ...hestiaCodebookQuantizers,
  twn: twnQuantizer,
  lsq: lsqQuantizer,
  seq: seqQuantizer,
  dlt: dltQuantizer,
  tequila: tequilaQuantizer,
  ...integerQuantizers,
  ...phaseQuantizers,
} as const satisfies Record<string, Quantizer>;

/** Name of a quantizer that comes with the library. */
export type QuantizerName = keyof typeof quantizers;

const registered = new Map<string, Quantizer>(Object.entries(quantizers));

/**
 * Makes a quantizer known by its name to everything that takes one: training, rounding, packing, checkpoints.
 *
 * @throws RangeError where another one has the name
 *
 * @example
 * ```ts
 * import { registerQuantizer, ternary } from "@hestia/hestia";
 * registerQuantizer({
 *   name: "half_ternary",
 *   summary: "The mean of a weight and its ternary one",
 *   anneals: false,
 *   ternary: false,
 *   quantize: (weight, { groupSize }) => weight.add(ternary(weight, { groupSize })).mul(0.5),
 * }); // now train(model, data, { quantizer: "half_ternary", … })
 * ```
 */
export function registerQuantizer(quantizer: Quantizer): void {
  const { name } = quantizer;
  if (registered.has(name) && registered.get(name) !== quantizer) {
    throw atCaller(new RangeError(`Cannot register the quantizer "${name}": there is another one of that name`));
  }
  registered.set(name, quantizer);
}

/** Families of quantizers: what their names look like, and the quantizer of a name. */
const families: readonly { readonly pattern: RegExp; readonly made: (name: string, setting: string) => Quantizer }[] = [
  {
    pattern: /^hestia:(.+)$/,
    made: (name, list) =>
      hestiaOver(codebookOf(list), { name, summary: `Softmax over the codes ${codebookOf(list).join(", ")}` }),
  },
  {
    pattern: /^ternary:(.+)$/,
    made: (name, list) =>
      straightThroughOver(codebookOf(list), { name, summary: `Absmean rounding to the codes ${codebookOf(list).join(", ")}` }),
  },
  { pattern: /^fairy_v([1-9]\d*)$/, made: (_, passes) => phaseQuantizer(Number(passes)) },
];

/**
 * The quantizer of a name: one that is registered, Hestia or straight-through rounding over any codebook (`hestia:-3,-1,0.5,2`,
 * `ternary:int2`), or phases in any number of passes (`fairy_v7`). Throws a RangeError that lists the names there are.
 */
export function quantizerNamed(name: string): Quantizer {
  const quantizer = registered.get(name);
  if (quantizer) return quantizer;
  for (const { pattern, made } of families) {
    const [, setting] = name.match(pattern) ?? [];
    if (setting !== undefined) return made(name, setting);
  }
  throw atCaller(new RangeError(`Cannot quantize by "${name}": wanted one of ${[...registered.keys()].join(", ")}`));
}
