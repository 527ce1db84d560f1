/**
 * Complex phase quantization: a matrix as a widely linear complex map whose entries are snapped to {1, -1, i, -i} by their phase
 * (Fairy±i and Fairy2i, arXiv 2508.05571 and 2512.02901), hard, or relaxed by a temperature as in Hestia.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { type RuleOptions, rulesOf, type WeightRules } from "../recipes.ts";
import { constant, requireFloat, type Tensor } from "../tensor.ts";
import { checkNumber } from "./hestia.ts";
import { mix, sharpnessOf } from "./relaxation.ts";
import type { Quantizer } from "./quantizer.ts";

/** Smallest scale of a part, so that a matrix of zeros keeps one. */
const minimumPhaseScale = 1e-6;

/** Settings of phase quantization. Rules that are not given are those of the `recipe`, "hestia-2026" by default. */
export interface PhaseOptions extends RuleOptions<Pick<WeightRules, "scaleGradient" | "temperatureOffset">> {
  /** Passes, each over what the ones before left: at least 1, the default. The code of 2025 calls its four counts `v1` to `v4`. */
  readonly passes?: number;
  /**
   * Width of the transitions between codes, in square radians: a number of at least 0, or a float32 scalar tensor above 0. The number 0
   * stands for `hard`. May be left out when `hard` is set.
   */
  readonly temperature?: number | Tensor;
  /** Share of the quantized weight in the result, 0 (the weight itself) to 1 (the default): a number or a float32 scalar tensor. */
  readonly pressure?: number | Tensor;
  /** The limit of temperature zero: entries are snapped, and the gradient is the identity. */
  readonly hard?: boolean;
}

/** A complex matrix by its parts. */
interface Complex {
  readonly re: Tensor;
  readonly im: Tensor;
}

/** What one pass makes of a matrix: its parts are real numbers, scales included. */
type Pass = (matrix: Complex) => Complex;

/**
 * A matrix quantized by the phases of a complex one.
 *
 * The quadrants A11, A12, A21, A22 of the matrix are the real form of z ↦ U z + V z̄ with U = ½[(A11 + A22) + i(A21 - A12)] and
 * V = ½[(A11 - A22) + i(A12 + A21)]. In each of the two, an entry whose phase is nearest to that of 1 or -1 (of i or -i) becomes it, times
 * s_re (times s_im): the mean magnitude of the real (imaginary) parts of the entries that go that way, at least 1e-6. With several passes
 * the error of one is quantized by the next, and the results are added up.
 *
 * At a temperature T above 0 an entry becomes Σ p_c c with p = softmax(-d_c² / T) over the four codes c, where d_c is the distance to the
 * phase of c in radians; its real part is scaled by s_re, its imaginary part by s_im. Gradients flow through the phases and the errors that
 * are passed on, and through the scales where `scaleGradient` says so, as in the recipe "hestia-2025", whose temperatures are T + 1e-6; which
 * scale an entry counts for is held constant. Hard: the gradient is the identity.
 *
 * @param weight floating-point `[2 n, 2 m]`
 * @returns float32, of the weight's shape
 * @throws TypeError for integers, RangeError for a shape that is no matrix of even lengths or a number outside of its range
 *
 * @example
 * ```ts
 * import { quantizers, tensor } from "@hestia/hestia";
 * const weight = tensor([[1, -2.5], [3, 2]]);
 * console.log(await quantizers.fairy_v1.quantize(weight, { groupSize: 0, hard: true }).data()); // -0.5, -2.75, 2.75, 0.5
 * ```
 */
export function phaseQuantize(weight: Tensor, options: PhaseOptions): Tensor {
  const { passes = 1, temperature, pressure = 1, hard = temperature === 0 } = options;
  check(weight, passes);
  checkNumber("pressure", pressure, { maximum: 1 });
  if (hard) {
    const snapped = throughQuadrants(weight, (matrix) => repeated(matrix, snap, passes)).stopGradient();
    return mix(weight, snapped.add(weight.sub(weight.stopGradient())), pressure);
  }
  if (temperature === undefined) {
    throw atCaller(new TypeError(`Cannot quantize ${weight}: wanted a temperature, or hard: true for the limit of zero`));
  }
  checkNumber("temperature", temperature, { maximum: Infinity });
  const { temperatureOffset, scaleGradient } = rulesOf("weights", options);
  const sharpness = sharpnessOf(temperature, temperatureOffset);
  const pass: Pass = (matrix) => soften(matrix, { sharpness, scaleGradient });
  return mix(weight, throughQuadrants(weight, (matrix) => repeated(matrix, pass, passes)), pressure);
}

function check(weight: Tensor, passes: number): void {
  requireFloat(weight, "quantize");
  if (!Number.isInteger(passes) || passes < 1) {
    throw atCaller(new RangeError(`Cannot quantize ${weight} in ${passes} passes: wanted a whole number of at least 1`));
  }
  if (weight.shape.length === 2 && weight.size > 0 && weight.shape.every((length) => length % 2 === 0)) return;
  throw atCaller(new RangeError(`Cannot quantize ${weight} by phase: wanted a matrix of even lengths`));
}

/** Applies a function to the complex matrices of the linear and of the conjugate-linear part. */
function throughQuadrants(weight: Tensor, quantized: Pass): Tensor {
  const [n, m] = weight.shape.map((length) => length / 2);
  const quadrant = (row: number, column: number) => weight.slice([row * n, column * m], [(row + 1) * n, (column + 1) * m]);
  const [a11, a12, a21, a22] = [quadrant(0, 0), quadrant(0, 1), quadrant(1, 0), quadrant(1, 1)];
  const u = quantized({ re: a11.add(a22).mul(0.5), im: a21.sub(a12).mul(0.5) });
  const v = quantized({ re: a11.sub(a22).mul(0.5), im: a12.add(a21).mul(0.5) });
  const placed = (part: Tensor, row: number, column: number) =>
    part.pad([row * n, column * m], [(1 - row) * n, (1 - column) * m]);
  return placed(u.re.add(v.re), 0, 0).add(placed(v.im.sub(u.im), 0, 1))
    .add(placed(v.im.add(u.im), 1, 0)).add(placed(u.re.sub(v.re), 1, 1));
}

/** Sum of several passes, each over the error of the sum so far. */
function repeated(matrix: Complex, pass: Pass, passes: number): Complex {
  let sum = pass(matrix);
  for (let done = 1; done < passes; done++) {
    const next = pass({ re: matrix.re.sub(sum.re), im: matrix.im.sub(sum.im) });
    sum = { re: sum.re.add(next.re), im: sum.im.add(next.im) };
  }
  return sum;
}

/** 1 for zero and above, -1 below. */
const signOf = (x: Tensor): Tensor => x.less(0).where(constant(-1), constant(1));

/**
 * Signs and magnitudes of both parts, and whether the phase is nearest to that of 1 or -1. A tie goes to the code that lies ahead
 * counterclockwise, zero to 1.
 */
function sectors({ re, im }: Complex) {
  const signs = { re: signOf(re), im: signOf(im) };
  const [x, y] = [re.mul(signs.re), im.mul(signs.im)];
  const tieIsReal = signs.re.mul(signs.im).less(0).bitOr(y.equal(0));
  return { signs, x, y, isReal: y.less(x).bitOr(y.equal(x).bitAnd(tieIsReal)) };
}

/** Mean magnitude of the entries that a mask names. */
function maskedMean(magnitude: Tensor, mask: Tensor): Tensor {
  return mask.where(magnitude, 0).sum().div(mask.cast("float32").sum().maximum(1)).maximum(minimumPhaseScale);
}

/** Scales of the real and of the imaginary part. */
function scalesOf({ x, y, isReal }: ReturnType<typeof sectors>): Complex {
  return { re: maskedMean(x, isReal), im: maskedMean(y, isReal.equal(0)) };
}

/** Each entry as the code of the nearest phase. */
function snap(matrix: Complex): Complex {
  const found = sectors(matrix);
  const { signs, isReal } = found;
  const scales = scalesOf(found);
  return { re: isReal.where(signs.re.mul(scales.re), 0), im: isReal.where(0, signs.im.mul(scales.im)) };
}

/**
 * Each entry as its expected code. Seen from the axis that is nearest, at an angle r of at most π/4, the four codes lie at distances r,
 * π/2 - r, π/2 + r and π - r: no phase is unwrapped.
 */
function soften(
  matrix: Complex,
  { sharpness, scaleGradient }: { readonly sharpness: number | Tensor; readonly scaleGradient: boolean },
): Complex {
  const found = sectors(matrix);
  const { signs, x, y, isReal } = found;
  const measured = scalesOf(found);
  const scales = scaleGradient ? measured : { re: measured.re.stopGradient(), im: measured.im.stopGradient() };
  const [long, short] = [isReal.where(x, y), isReal.where(y, x)];
  const r = arctangent(short.div(long.equal(0).where(constant(1), long)));
  const power = (offset: number, sign: number) => logit(r, { offset, sign }).mul(sharpness).exp();
  const [side, sideBehind, behind] = [power(Math.PI / 2, -1), power(Math.PI / 2, 1), power(Math.PI, -1)];
  const total = side.add(sideBehind).add(behind).add(1);
  const [near, far] = [behind.neg().add(1).div(total), side.sub(sideBehind).div(total)];
  return {
    re: isReal.where(near, far).mul(signs.re).mul(scales.re),
    im: isReal.where(far, near).mul(signs.im).mul(scales.im),
  };
}

/** r² - (offset ± r)², never above zero: how much farther than the nearest code another lies, without the terms that cancel. */
function logit(r: Tensor, { offset, sign }: { readonly offset: number; readonly sign: number }): Tensor {
  return r.mul(-2 * sign * offset).sub(offset * offset);
}

/**
 * Arctangent of 0 to 1, to rounding error: three times half the angle, tan(a / 2) = t / (1 + √(1 + t²)), then nine terms of the series,
 * whose first omitted one is below 1e-19. Derivatives up to the fourth are those of atan(t) = atan(t₀) + atan(u) with
 * u = (t - t₀) / (1 + t t₀) at t₀ = t, where u - u³ / 3 stands for the last term: far shorter than those of the series.
 */
function arctangent(t: Tensor): Tensor {
  const t0 = t.stopGradient();
  let half = t0;
  for (let halving = 0; halving < 3; halving++) half = half.div(half.square().add(1).sqrt().add(1));
  const square = half.square();
  let series = constant(1 / 17);
  for (let odd = 15; odd > 0; odd -= 2) series = square.mul(series).neg().add(1 / odd);
  const u = t.sub(t0).div(t.mul(t0).add(1));
  return half.mul(series).mul(8).add(u.sub(u.square().mul(u).div(3)));
}

/** A number of passes as the registry of quantizers lists it. */
export function phaseQuantizer(passes: number): Quantizer {
  return {
    name: `fairy_v${passes}`,
    summary: `Complex phases snapped to 1, -1, i, -i${
      passes > 1 ? `, ${passes} times over the error` : ""
    }, relaxed by a temperature`,
    anneals: true,
    ternary: false,
    quantize(weight, state) {
      if (state.groupSize === 0) return phaseQuantize(weight, { ...state, passes });
      throw atCaller(
        new RangeError(
          `Cannot quantize ${weight} by phase in groups of ${state.groupSize}: wanted 0, since a whole matrix shares its scales`,
        ),
      );
    },
  };
}

/** Name of a phase quantizer in the list: how many passes it makes. */
export type PhaseQuantizerName = "fairy_v1" | "fairy_v2" | "fairy_v3" | "fairy_v4";

/** Phase quantizers by name. */
export const phaseQuantizers: Readonly<Record<PhaseQuantizerName, Quantizer>> = {
  fairy_v1: phaseQuantizer(1),
  fairy_v2: phaseQuantizer(2),
  fairy_v3: phaseQuantizer(3),
  fairy_v4: phaseQuantizer(4),
};
