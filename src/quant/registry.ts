/**
 * The list of quantizers: a new one is a file that exports a `Quantizer`, and a line here.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { dltQuantizer } from "./dlt.ts";
import { hestiaQuantizer } from "./hestia.ts";
import { hestiaCodebookQuantizers } from "./hestia_codebooks.ts";
import { integerQuantizers } from "./integer.ts";
import { lsqQuantizer } from "./lsq.ts";
import { phaseQuantizers } from "./phase.ts";
import type { Quantizer } from "./quantizer.ts";
import { seqQuantizer } from "./seq.ts";
import { tequilaQuantizer } from "./tequila.ts";
import { ternaryQuantizer } from "./ternary.ts";
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

/** Name of a quantizer. */
export type QuantizerName = keyof typeof quantizers;

/** The quantizer of a name. Throws a RangeError that lists the names there are. */
export function quantizerNamed(name: string): Quantizer {
  if (Object.hasOwn(quantizers, name)) return quantizers[name as QuantizerName];
  throw atCaller(new RangeError(`Cannot quantize by "${name}": wanted one of ${Object.keys(quantizers).join(", ")}`));
}
