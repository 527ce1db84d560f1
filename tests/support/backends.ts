/**
 * One computation on both devices.
 *
 * @module
 */

import { type Tensor, type TensorData, useBackend } from "../../mod.ts";
import { deepEqual } from "../assert.ts";
import { close, float32Tolerance, magnitude, type Tolerance } from "./numbers.ts";

/** Data of several tensors, in one submission. */
export function read(tensors: readonly Tensor[]): Promise<TensorData[]> {
  return Promise.all(tensors.map((tensor) => tensor.data()));
}

/** What `build` gives on each device. It is called once for each, because tensors stay where they were computed. */
export async function onBoth(build: () => readonly Tensor[]): Promise<{ expected: TensorData[]; actual: TensorData[] }> {
  await useBackend("reference");
  const expected = await read(build());
  await useBackend("webgpu");
  return { expected, actual: await read(build()) };
}

/** What differs between two lists of results, one line for each name; for tests to compare with an empty list. */
export function differences(
  names: readonly string[],
  actual: readonly TensorData[],
  expected: readonly TensorData[],
  { relative = 0 }: Tolerance = float32Tolerance,
): string[] {
  return names.flatMap((says, index) => {
    const scale = Math.max(0.01, magnitude(expected[index]));
    try {
      close(actual[index], expected[index], { relative, absolute: relative * scale, says });
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  });
}

/** Both devices must agree, to a tolerance relative to each tensor's largest element. */
export async function agree(
  build: () => Readonly<Record<string, Tensor>>,
  tolerance: Tolerance = float32Tolerance,
): Promise<void> {
  let names: string[] = [];
  const { expected, actual } = await onBoth(() => {
    const outputs = build();
    names = Object.keys(outputs);
    return Object.values(outputs);
  });
  deepEqual(differences(names, actual, expected, tolerance), []);
}
