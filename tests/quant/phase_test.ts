/** Phase quantization against complex numbers written out. */

import { gradients, hessianVectorProduct, type Tensor, tensor, useBackend } from "../../mod.ts";
import { type PhaseOptions, phaseQuantize } from "../../src/quant/phase.ts";
import { agree } from "../support/backends.ts";
import { close, noise } from "../support/numbers.ts";

const [rows, columns] = [4, 6];
const weights = noise(rows * columns, { seed: 11, low: -1, high: 1 });
const weight = () => tensor(weights, { shape: [rows, columns] });
const read = async (x: Tensor) => Array.from(await x.data());

type Complex = [re: number, im: number];
const codes: readonly Complex[] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/** Weights of the four codes for one entry. */
function shares([re, im]: Complex, temperature: number): number[] {
  const distances = codes.map(([x, y]) => {
    const turn = Math.abs(Math.atan2(im, re) - Math.atan2(y, x));
    return Math.min(turn, 2 * Math.PI - turn);
  });
  const nearest = Math.min(...distances);
  if (temperature === 0) return distances.map((distance) => distance === nearest ? 1 : 0);
  const powers = distances.map((distance) => Math.exp((nearest ** 2 - distance ** 2) / temperature));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

function onePass(entries: readonly Complex[], temperature: number): Complex[] {
  const winners = entries.map((entry) => shares(entry, 0).indexOf(1) % 2);
  const scales = [0, 1].map((part) => {
    const own = entries.filter((_, at) => winners[at] === part).map((entry) => Math.abs(entry[part]));
    return Math.max(own.reduce((sum, value) => sum + value, 0) / Math.max(own.length, 1), 1e-6);
  });
  return entries.map((entry) => {
    const p = shares(entry, temperature);
    return [scales[0] * (p[0] - p[2]), scales[1] * (p[1] - p[3])];
  });
}

function passesOver(entries: readonly Complex[], { temperature, passes }: { temperature: number; passes: number }): Complex[] {
  const sum: Complex[] = entries.map(() => [0, 0]);
  for (let pass = 0; pass < passes; pass++) {
    const left = entries.map(([re, im], at): Complex => [re - sum[at][0], im - sum[at][1]]);
    onePass(left, temperature).forEach(([re, im], at) => sum[at] = [sum[at][0] + re, sum[at][1] + im]);
  }
  return sum;
}

function expected(values: ArrayLike<number>, options: { temperature: number; passes: number }): number[] {
  const [n, m] = [rows / 2, columns / 2];
  const at = (row: number, column: number) => values[row * columns + column];
  const places = Array.from({ length: n * m }, (_, index) => [Math.floor(index / m), index % m]);
  const quadrants = places.map(([i, j]) => [at(i, j), at(i, j + m), at(i + n, j), at(i + n, j + m)]);
  const u = passesOver(quadrants.map(([a, b, c, d]) => [(a + d) / 2, (c - b) / 2]), options);
  const v = passesOver(quadrants.map(([a, b, c, d]) => [(a - d) / 2, (b + c) / 2]), options);
  const result = new Array(rows * columns);
  places.forEach(([i, j], index) => {
    const [[ur, ui], [vr, vi]] = [u[index], v[index]];
    result[i * columns + j] = ur + vr;
    result[i * columns + j + m] = vi - ui;
    result[(i + n) * columns + j] = vi + ui;
    result[(i + n) * columns + j + m] = ur - vr;
  });
  return result;
}

for (const passes of [1, 2, 3, 7]) {
  Deno.test(`phaseQuantize() follows its formula in ${passes} passes`, async () => {
    await useBackend("reference");
    for (const temperature of [0, 0.02, 0.5, 5]) {
      const wanted = expected(weights, { temperature, passes });
      close(await read(phaseQuantize(weight(), { temperature, passes })), wanted, { absolute: 1e-12 });
      if (temperature === 0) continue;
      const asTensor = phaseQuantize(weight(), { temperature: tensor(temperature), pressure: tensor(0.25), passes });
      close(await read(asTensor), wanted.map((q, at) => 0.75 * weights[at] + 0.25 * q), { absolute: 1e-12 });
    }
  });
}

Deno.test("phaseQuantize() hard has the identity for a gradient", async () => {
  await useBackend("reference");
  const g = noise(rows * columns, { seed: 5 });
  const w = weight();
  const loss = phaseQuantize(w, { hard: true, passes: 3 }).mul(tensor(g, { shape: [rows, columns] })).sum();
  close(await read(gradients(loss, [w])[0]), g);
});

Deno.test("phaseQuantize() has exact first and second derivatives", async () => {
  await useBackend("reference");
  const options: PhaseOptions = { recipe: "hestia-2025", temperature: 0.4, pressure: 0.9, passes: 2 };
  const direction = noise(rows * columns, { seed: 9 });
  const moved = (step: number) =>
    tensor(Float64Array.from(weights, (x, at) => x + step * direction[at]), { shape: [rows, columns] });
  const loss = (w: Tensor) => phaseQuantize(w, options).sin().mul(weight().cos()).sum();
  const w = moved(0);
  const step = 1e-6;
  const along = tensor(direction, { shape: [rows, columns] });
  const slope = (await read(gradients(loss(w), [w])[0])).reduce((sum, g, at) => sum + g * direction[at], 0);
  const [up, down] = [moved(step), moved(-step)];
  close([slope], [(await loss(up).item() - await loss(down).item()) / (2 * step)], { relative: 1e-7 });
  const [after, before] = await Promise.all([up, down].map((at) => read(gradients(loss(at), [at])[0])));
  const product = await read(hessianVectorProduct(loss(w), [w], [along])[0]);
  close(product, after.map((g, at) => (g - before[at]) / (2 * step)), { absolute: 1e-6, relative: 1e-6 });
});

Deno.test("phaseQuantize() without a scale gradient differentiates as if scales were numbers", async () => {
  await useBackend("reference");
  const w = weight();
  const slopeOf = async (scaleGradient: boolean) =>
    await read(gradients(phaseQuantize(w, { temperature: 0.4, scaleGradient }).sum(), [w])[0]);
  const [constant, through] = [await slopeOf(false), await slopeOf(true)];
  // along its own direction a phase does not turn, so that only scales can move
  const along = (slope: number[]) => slope.reduce((sum, g, at) => sum + g * weights[at], 0);
  close([along(constant)], [0], { absolute: 1e-12 });
  close([along(through)], [(await read(phaseQuantize(w, { temperature: 0.4 }))).reduce((sum, q) => sum + q)], {
    relative: 1e-10,
  });
});

Deno.test("ties go to the code ahead, and zero to 1", async () => {
  await useBackend("reference");
  // quadrants of u alone: a11 = a22 = re, a21 = -a12 = im
  for (
    const [re, im, code] of [[1, 1, [0, 1]], [-1, 1, [-1, 0]], [-1, -1, [0, -1]], [1, -1, [1, 0]], [0, 0, [1e-6, 0]]] as const
  ) {
    const q = await read(phaseQuantize(tensor([[re, -im], [im, re]]), { hard: true }));
    close([(q[0] + q[3]) / 2, (q[2] - q[1]) / 2], code, { absolute: 1e-15, says: `${re} + ${im}i` });
  }
});

Deno.test("both devices agree on phaseQuantize() and its gradient", async () => {
  await agree(() => {
    const w = weight();
    const q = phaseQuantize(w, { temperature: 0.5 });
    return { hard: phaseQuantize(w, { hard: true, passes: 2 }), q, slope: gradients(q.square().sum(), [w])[0] };
  });
});
