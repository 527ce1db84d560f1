/** What people do wrong with quantizers, and what they are told. */

import { quantizers, type Tensor, tensor } from "../../mod.ts";
import type { Quantizer, QuantizerState } from "../../src/quant/quantizer.ts";
import { quantizerNamed } from "../../src/quant/registry.ts";
import { equal, ok, throws } from "../assert.ts";

const matrix = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });
const names = Object.keys(quantizers).filter((name) => name !== "none");
const grouped = names.filter((name) => !name.startsWith("fairy"));
const annealed = names.filter((name) => quantizerNamed(name).anneals);
const soft = { groupSize: 0, temperature: 0.5, pressure: 1 };

interface Mistake {
  readonly says: string;
  readonly of: readonly string[];
  readonly weight?: () => Tensor;
  readonly state?: () => QuantizerState;
  readonly message: RegExp;
}

const mistakes: Mistake[] = [
  {
    says: "integers",
    of: names,
    weight: () => tensor(new Int32Array(8), { shape: [2, 4] }),
    message: /^Cannot quantize int32\[2,4\]: wanted a floating-point tensor$/,
  },
  {
    says: "groups that do not divide",
    of: grouped,
    state: () => ({ ...soft, groupSize: 3 }),
    message: /^Cannot quantize float32\[2,4\] in groups of 3: the last length must be a multiple of the group size, got 4$/,
  },
  {
    says: "a group size that is none",
    of: grouped,
    state: () => ({ ...soft, groupSize: -2 }),
    message: /^Cannot quantize float32\[2,4\] in groups of -2: wanted 0 \(whole tensor\), -1 .* or a positive integer$/,
  },
  {
    says: "channels of a vector",
    of: grouped,
    weight: () => matrix(4),
    state: () => ({ ...soft, groupSize: -1 }),
    message: /^Cannot quantize float32\[4\] in groups of -1: wanted at least two axes/,
  },
  {
    says: "nothing",
    of: grouped,
    weight: () => matrix(0, 4),
    message: /^Cannot quantize float32\[0,4\] in groups of 0: there is no element$/,
  },
  {
    says: "a temperature below zero",
    of: annealed,
    state: () => ({ ...soft, temperature: -0.1 }),
    message: /^Cannot quantize at temperature -0\.1: wanted a finite number of at least 0$/,
  },
  {
    says: "a temperature that is no number",
    of: annealed,
    state: () => ({ ...soft, temperature: NaN }),
    message: /^Cannot quantize at temperature NaN: wanted a finite number of at least 0$/,
  },
  {
    says: "several temperatures",
    of: annealed,
    state: () => ({ ...soft, temperature: tensor([1, 2]) }),
    message: /^Cannot quantize at the temperature float32\[2\]: wanted a number or a float32 scalar$/,
  },
  {
    says: "no temperature",
    of: annealed,
    state: () => ({ groupSize: 0 }),
    message: /^Cannot quantize float32\[2,4\]: wanted a temperature, or hard: true for the limit of zero$/,
  },
  {
    says: "more than all pressure",
    of: annealed,
    state: () => ({ ...soft, pressure: 1.5 }),
    message: /^Cannot quantize at pressure 1\.5: wanted a number from 0 to 1$/,
  },
  {
    says: "groups by phase",
    of: names.filter((name) => name.startsWith("fairy")),
    state: () => ({ ...soft, groupSize: 2 }),
    message: /^Cannot quantize float32\[2,4\] by phase in groups of 2: wanted 0, since a whole matrix shares its scales$/,
  },
  {
    says: "a matrix without halves",
    of: names.filter((name) => name.startsWith("fairy")),
    weight: () => matrix(2, 3),
    message: /^Cannot quantize float32\[2,3\] by phase: wanted a matrix of even lengths$/,
  },
  {
    says: "a step for each element",
    of: ["lsq"],
    state: () => ({ groupSize: -1, parameters: { step: matrix(2, 4) } }),
    message: /^Cannot quantize float32\[2,4\] with the step float32\[2,4\]: wanted float32\[2\], one for each group$/,
  },
  {
    says: "too many ranges",
    of: ["seq"],
    state: () => ({ groupSize: 0, parameters: { range: matrix(2) } }),
    message: /^Cannot quantize float32\[2,4\] with the range float32\[2\]: wanted float32\[1\], one for each group$/,
  },
  {
    says: "shifts that are integers",
    of: ["dlt"],
    state: () => ({ groupSize: 0, parameters: { shift: tensor(new Int32Array(1)) } }),
    message: /^Cannot quantize float32\[2,4\] with the shift int32\[1\]: wanted float32\[1\], one for each group$/,
  },
];

for (const { says, of, weight = () => matrix(2, 4), state = () => soft, message } of mistakes) {
  Deno.test(`quantizers refuse ${says}`, () => {
    ok(of.length > 0);
    for (const name of of) {
      const quantizer: Quantizer = quantizerNamed(name);
      throws(() => quantizer.quantize(weight(), state()), (error: Error) => {
        ok(message.test(error.message), `${name}: ${error.message}`);
        return true;
      });
    }
  });
}

Deno.test("errors of quantizers point at the caller's line", () => {
  for (const name of names) {
    try {
      quantizerNamed(name).quantize(tensor(new Int32Array(4)), soft);
      equal(name, "an error");
    } catch (error) {
      const [place] = (error as Error).stack!.split("\n").filter((line) => /^\s+at /.test(line));
      ok(place.includes("mistakes_test.ts"), `${name}: ${place}`);
    }
  }
});
