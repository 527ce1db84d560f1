import { gradients, hessianVectorProduct, type Tensor, tensor, useBackend } from "../../mod.ts";
import type { PrimitiveName } from "../../src/ops/primitives.ts";
import { deepEqual, ok } from "../assert.ts";
import { agree, read } from "../support/backends.ts";
import { type Case, inputFactory, numbersOf, probe, withGradients } from "../support/cases.ts";
import { close, noise, slope } from "../support/numbers.ts";
import { primitiveCases } from "./primitive_cases.ts";

const table = Object.entries(primitiveCases) as [PrimitiveName, Case[]][];

/** The inputs of a case, those of float32 moved by `t` along a direction. */
function moved({ inputs }: Case, t: number): Tensor[] {
  return inputs.map((input, k) => {
    const start = numbersOf(input, k);
    const { shape, dtype = "float32" } = input;
    if (dtype !== "float32") return tensor(start, { shape, dtype });
    const along = noise(start.length, { seed: 50 + k });
    return tensor(Float64Array.from(start, (x, i) => x + t * along[i]), { shape });
  });
}

const variables = (inputs: readonly Tensor[]) => inputs.filter(({ dtype }) => dtype === "float32");
const directions = (xs: readonly Tensor[], seed: number) =>
  xs.map((x, k) => tensor(noise(x.size, { seed: seed + k }), { shape: x.shape }));
const inner = (a: readonly Tensor[], b: readonly Tensor[]) =>
  a.reduce((total, x, k) => total.add(x.mul(b[k]).sum()), tensor(0)).item();

async function checkDerivatives(example: Case): Promise<void> {
  const loss = (inputs: readonly Tensor[]) => probe(example.f(...inputs));
  const inputs = moved(example, 0);
  const xs = variables(inputs);
  if (xs.length === 0) return;
  const along = xs.map((x) => tensor(noise(x.size, { seed: 50 + inputs.indexOf(x) }), { shape: x.shape }));
  const other = directions(xs, 70);
  const first = gradients(loss(inputs), xs);
  const second = hessianVectorProduct(loss(inputs), xs, along);
  deepEqual([...first, ...second].map(({ shape }) => shape), [...xs, ...xs].map(({ shape }) => shape));
  const wanted = example.flat ? [0, 0] : [
    await slope((t) => loss(moved(example, t)).item()),
    await slope((t) => {
      const shifted = moved(example, t);
      return inner(gradients(loss(shifted), variables(shifted)), other);
    }),
  ];
  const actual = [await inner(first, along), await inner(second, other)];
  close(actual, wanted, { relative: 1e-7, absolute: 1e-8, says: `${example.says}: <g, v> and <Hv, u>` });
}

for (const [name, cases] of table) {
  Deno.test(`${name} has exact first and second derivatives`, async () => {
    await useBackend("reference");
    for (const example of cases) if (!example.large) await checkDerivatives(example);
  });
}

Deno.test("every primitive and its gradient are the same on both backends", async () => {
  await agree(() => {
    const make = inputFactory();
    const outputs = table.flatMap(([, cases]) => cases.map((example) => withGradients(example, example.inputs.map(make))));
    return Object.assign({}, ...outputs);
  });
});

Deno.test("sine and cosine are those of float64 on every device, far from zero too, and none of what is not finite", async () => {
  for (const length of [1021, 1024]) { // one by one, and by fours
    const inRange = (far: number) => tensor(noise(length, { seed: far, low: -far, high: far }));
    const given = [0, Math.PI / 2, Math.PI, -Infinity];
    const inputs = () => [...[3, 100, 10_000].map(inRange), tensor(Array.from({ length }, (_, at) => given[at % 4]))];
    await agree(() => Object.fromEntries(inputs().flatMap((x, k) => [[`sine ${k}`, x.sin()], [`cosine ${k}`, x.cos()]])), {
      relative: 2e-7,
    });
  }
});

Deno.test("a gradient of zero is exactly zero where a function is flat", async () => {
  await useBackend("reference");
  for (const example of table.flatMap(([, list]) => list).filter(({ flat }) => flat)) {
    const inputs = moved(example, 0);
    const slopes = await read(gradients(probe(example.f(...inputs)), variables(inputs)));
    for (const slope of slopes) ok(slope.every((value) => value === 0), example.says);
  }
});

Deno.test("no two cases have one name", () => {
  const names = table.flatMap(([, cases]) => cases.map(({ says }) => says));
  deepEqual(names.filter((name, index) => names.indexOf(name) !== index), []);
});
