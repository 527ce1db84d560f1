/**
 * Hestia with fewer and with more codes than three.
 *
 * @module
 */

import { absmeanCodes } from "./codebook.ts";
import { hestia } from "./hestia.ts";
import type { Quantizer } from "./quantizer.ts";

/** The relaxation over the integers of a codebook, in units of the mean magnitude of a group, as `hestia` is for ternary weights. */
function hestiaOver(codebook: readonly number[], { name, bits }: { readonly name: string; readonly bits: number }): Quantizer {
  return {
    name,
    summary: `Softmax over the ${bits}-bit codes ${codebook.join(", ")}, hardened by a falling temperature`,
    anneals: true,
    ternary: codebook.every((code) => Math.abs(code) <= 1),
    quantize: (weight, { temperature, pressure, hard, groupSize }) =>
      hestia(weight, { temperature, pressure, hard, groupSize, codebook }),
    codes: (weight, { groupSize }) => absmeanCodes(weight, { groupSize, codebook }),
  };
}

/** Name of a Hestia quantizer whose codes are not the ternary ones. */
export type HestiaCodebookName = "hestia_1bit" | "hestia_2bit";

/**
 * Hestia at 1 and at 2 bits, by name. The paper (arXiv 2601.20745) reports results at both; that their codes are -1, 1 and -2, -1, 0, 1,
 * the two's complement numbers, in units of the mean magnitude, is the choice of this library. The default initial temperature of a
 * schedule is the optimal one of ternary codes for these too.
 */
export const hestiaCodebookQuantizers: Readonly<Record<HestiaCodebookName, Quantizer>> = {
  hestia_1bit: hestiaOver([-1, 1], { name: "hestia_1bit", bits: 1 }),
  hestia_2bit: hestiaOver([-2, -1, 0, 1], { name: "hestia_2bit", bits: 2 }),
};
