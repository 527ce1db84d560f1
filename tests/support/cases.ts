/**
 * One call of an operation on reproducible inputs, for the tables of tests.
 *
 * @module
 */

import { gradients, type Tensor, tensor } from "../../mod.ts";
import type { DType } from "../../src/core/dtype.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { noise } from "./numbers.ts";

/** An input: noise in a range, or given numbers. */
export interface Input {
  readonly shape: readonly number[];
  readonly dtype?: DType;
  readonly low?: number;
  readonly high?: number;
  readonly data?: readonly number[];
}

/** One call. Derivatives are taken over the inputs of dtype float32. */
export interface Case {
  readonly says: string;
  readonly inputs: readonly Input[];
  readonly f: (...inputs: Tensor[]) => Tensor;
  /** The derivative is zero by definition, whatever finite differences say. */
  readonly flat?: boolean;
  /** Too large for finite differences. */
  readonly large?: boolean;
  /** Relative tolerance on a GPU, where the default is too strict or too lax. */
  readonly relative?: number;
}

/** The numbers of an input; equal for equal descriptions, different for other positions in the list. */
export function numbersOf({ shape, dtype = "float32", low, high, data }: Input, position: number): Float32Array<ArrayBuffer> {
  const list = data ? Float32Array.from(data) : noise(sizeOf(shape), { seed: position + 1, low, high });
  return dtype === "float32" || dtype === "float16" ? list : list.map(Math.trunc);
}

/** Tensors of equal descriptions are one tensor, so that kernels of many cases can share their inputs. */
export function inputFactory(): (input: Input, position: number) => Tensor {
  const known = new Map<string, Tensor>();
  return (input, position) => {
    const key = `${position}${JSON.stringify(input)}`;
    let found = known.get(key);
    if (!found) {
      const { shape, dtype } = input;
      known.set(key, found = tensor(numbersOf(input, position), { shape, dtype }));
    }
    return found;
  };
}

/** A scalar in which every element of the output counts differently, and not only to first order. */
export function probe(output: Tensor): Tensor {
  const y = output.dtype === "float32" ? output : output.cast("float32");
  const weights = tensor(noise(y.size, { seed: 99, low: 0.5, high: 1.5 }), { shape: y.shape });
  return y.add(y.square().mul(0.5)).mul(weights).sum();
}

/** Output of a case, and the gradient of its probe for each float32 input. */
export function withGradients(example: Case, inputs: readonly Tensor[]): Record<string, Tensor> {
  const output = example.f(...inputs);
  const variables = inputs.filter(({ dtype }) => dtype === "float32");
  const slopes = gradients(probe(output), variables);
  return { [example.says]: output, ...Object.fromEntries(slopes.map((g, k) => [`${example.says}, gradient ${k}`, g])) };
}
