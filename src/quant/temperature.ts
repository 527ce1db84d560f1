/**
 * The temperature to start from: the one at which the relaxation changes Gaussian weights least.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";

/**
 * Temperature that {@linkcode optimalTemperature} finds. The optimiser of the code of 2025, which stops early, gives 0.3508855607; the release
 * of 2026 begins at 0.3.
 */
export const initialTemperature = 0.350885250959;

/** Standard deviation of a centred Gaussian whose mean magnitude is 1, as that of weights in units of their scale is. */
const deviation = Math.sqrt(Math.PI / 2);

/** Beyond this many standard deviations the density is below 1e-31. */
const tail = 12;

/**
 * Expected ternary code of a weight in units of its scale: Σ c softmax_c(-(z - c)² / T) over c in {-1, 0, 1}; at T = 0 the nearest code.
 *
 * @example
 * ```ts
 * import { softQuantize } from "@hestia/hestia";
 * console.log(softQuantize(0.5, { temperature: 0.35 }), softQuantize(0.6, { temperature: 0 })); // 0.497…, 1
 * ```
 */
export function softQuantize(z: number, { temperature }: { readonly temperature: number }): number {
  return moments(z, temperature).code;
}

/**
 * Mean squared change of a weight by the relaxation, in units of the squared scale: E[(soft(z) - z)²] for z ~ N(0, π/2).
 *
 * @param temperature at least 0; 0 is rounding
 * @throws RangeError for a negative temperature
 *
 * @example
 * ```ts
 * import { expectedError } from "@hestia/hestia";
 * console.log(expectedError(0.35) < expectedError(0)); // true: relaxed weights change less than rounded ones
 * ```
 */
export function expectedError(temperature: number): number {
  check(temperature);
  return expectation((z) => (moments(z, temperature).code - z) ** 2);
}

/**
 * The temperature with the least {@linkcode expectedError}: the root of its derivative, by bisection.
 *
 * @param options.bounds interval that holds the minimum; [0.1, 2] by default
 * @throws RangeError when the derivative does not change sign in the interval
 *
 * @example
 * ```ts
 * import { optimalTemperature } from "@hestia/hestia";
 * console.log(optimalTemperature()); // 0.35088…
 * ```
 */
export function optimalTemperature({ bounds = [0.1, 2] }: { readonly bounds?: readonly [number, number] } = {}): number {
  bounds.forEach(check);
  const slope = (temperature: number) =>
    expectation((z) => {
      const { code, slope } = moments(z, temperature);
      return 2 * (code - z) * slope;
    });
  let [low, high] = bounds;
  if (!(slope(low) < 0 && slope(high) > 0)) {
    throw atCaller(
      new RangeError(`Cannot find the optimal temperature in [${bounds}]: the expected error has no minimum inside`),
    );
  }
  while (high - low > 1e-12 * high) {
    const middle = (low + high) / 2;
    if (slope(middle) < 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function check(temperature: number): void {
  if (temperature >= 0 && Number.isFinite(temperature)) return;
  throw atCaller(new RangeError(`Cannot relax at temperature ${temperature}: wanted a finite number of at least 0`));
}

/** Expected code at z, and its derivative with respect to the temperature: the covariance of code and squared distance, over T². */
function moments(z: number, temperature: number): { code: number; slope: number } {
  if (temperature === 0) return { code: Math.abs(z) > 0.5 ? Math.sign(z) : 0, slope: 0 };
  const distances = [-1, 0, 1].map((code) => (z - code) ** 2);
  const nearest = Math.min(...distances);
  const powers = distances.map((distance) => Math.exp((nearest - distance) / temperature));
  const total = powers[0] + powers[1] + powers[2];
  const code = (powers[2] - powers[0]) / total;
  const distance = powers.reduce((sum, power, index) => sum + power * distances[index], 0) / total;
  const product = (powers[2] * distances[2] - powers[0] * distances[0]) / total;
  return { code, slope: (product - code * distance) / temperature ** 2 };
}

/** Mean of an even function of z ~ N(0, π/2): twice the integral over the positive half, split at the border between codes. */
function expectation(f: (z: number) => number): number {
  const density = (z: number) => Math.exp(-0.5 * (z / deviation) ** 2) / (deviation * Math.sqrt(2 * Math.PI));
  const integrand = (z: number) => 2 * f(z) * density(z);
  return integral(integrand, 0, 0.5) + integral(integrand, 0.5, 2.5) + integral(integrand, 2.5, tail * deviation);
}

/**
 * Integral by the double-exponential rule (Takahasi and Mori, 1974), whose points crowd at both ends: a step or a steep slope there, such
 * as the one that low temperatures have, costs no accuracy.
 */
function integral(f: (z: number) => number, from: number, to: number): number {
  const [centre, half] = [(from + to) / 2, (to - from) / 2];
  const step = 1 / 32;
  let sum = 0;
  for (let index = -128; index <= 128; index++) {
    const t = index * step;
    const inner = Math.PI / 2 * Math.sinh(t);
    const weight = Math.PI / 2 * Math.cosh(t) / Math.cosh(inner) ** 2;
    if (weight > 1e-300) sum += weight * f(centre + half * Math.tanh(inner));
  }
  return sum * half * step;
}
