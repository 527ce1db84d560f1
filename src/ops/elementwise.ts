/**
 * Primitives applied to each element alone: one record per function.
 *
 * @module
 */

import { bytesPerElement, type DType, isFloat } from "../core/dtype.ts";
import { type Attributes, describe, type Elementwise, type TensorType, type Vjp } from "../core/graph.ts";
import { sameShape } from "../core/shape.ts";
import { fourOf, wgslIsNaN, wgslType } from "../core/wgsl.ts";

type Meaning = Pick<Elementwise, "evaluate" | "evaluateInteger" | "wgsl" | "vjp" | "isAlias"> & { cost?: number };

const none: Vjp = (_, { inputs }) => inputs.map(() => undefined);

/** float16 is a storage type: results of arithmetic on it are float32. */
const computed = (dtype: DType): DType => dtype === "float16" ? "float32" : dtype;

function checkShapes(name: string, inputs: readonly TensorType[]): void {
  for (const input of inputs) {
    if (!sameShape(input.shape, inputs[0].shape)) {
      throw new TypeError(`Cannot apply ${name} to ${inputs.map(describe).join(" and ")}: shapes must be equal here`);
    }
  }
}

function checkKinds(name: string, inputs: readonly TensorType[]): void {
  const kind = computed(inputs[0].dtype);
  if (!inputs.every(({ dtype }) => computed(dtype) === kind)) {
    throw new TypeError(`Cannot apply ${name} to ${inputs.map(describe).join(" and ")}: dtypes must agree, cast one of them`);
  }
}

function define(
  name: string,
  meaning: Meaning,
  infer: (inputs: readonly TensorType[], attributes: Attributes) => DType,
): Elementwise {
  return {
    kind: "elementwise",
    name,
    cost: 1,
    ...meaning,
    infer(inputs, attributes) {
      checkShapes(name, inputs);
      return { shape: inputs[0].shape, dtype: infer(inputs, attributes) };
    },
  };
}

/** A function of real numbers: floating-point operands only. */
function real(name: string, meaning: Meaning): Elementwise {
  return define(name, meaning, (inputs) => {
    checkKinds(name, inputs);
    if (!isFloat(inputs[0].dtype)) {
      throw new TypeError(`Cannot apply ${name} to ${describe(inputs[0])}: wanted a floating-point tensor, cast it`);
    }
    return "float32";
  });
}

/** A function defined on every dtype. */
function numeric(name: string, meaning: Meaning): Elementwise {
  return define(name, meaning, (inputs) => {
    checkKinds(name, inputs);
    return computed(inputs[0].dtype);
  });
}

/** A comparison: uint32 zeros and ones, no derivative. */
function comparison(name: string, operator: string, evaluate: (a: number, b: number) => boolean): Elementwise {
  const meaning: Meaning = {
    evaluate: (a, b) => evaluate(a, b) ? 1 : 0,
    wgsl([a, b], { inputs: [dtype], wide }) {
      const type = wgslType("uint32", wide);
      // a driver would call what is compared with itself equal
      if (a === b && operator !== "<" && isFloat(dtype)) return `select(${type}(1u), ${type}(0u), ${wgslIsNaN(a, wide)})`;
      return `${type}(${a} ${operator} ${b})`;
    },
    vjp: none,
  };
  return define(name, meaning, (inputs) => {
    checkKinds(name, inputs);
    return "uint32";
  });
}

/** An operation on the bits of uint32. */
function bitwise(name: string, evaluate: (a: number, b: number) => number, wgsl: Elementwise["wgsl"]): Elementwise {
  return define(name, { evaluate: (a, b) => evaluate(a, b) >>> 0, wgsl, vjp: none }, (inputs) => {
    const wrong = inputs.find((input) => input.dtype !== "uint32");
    if (wrong) throw new TypeError(`Cannot apply ${name} to ${describe(wrong)}: wanted uint32`);
    return "uint32";
  });
}

/** A shift; by 32 or more it leaves nothing, where WGSL and JavaScript would take the count modulo 32. */
function shift(name: string, operator: string, evaluate: (a: number, b: number) => number): Elementwise {
  return bitwise(name, (a, b) => b < 32 ? evaluate(a, b) : 0, ([a, b], { wide }) => {
    const type = wgslType("uint32", wide);
    return `select(${type}(0u), ${a} ${operator} (${b} & ${type}(31u)), ${b} < ${type}(32u))`;
  });
}

/** What finite numbers of at least the bits `least` give with themselves, and NaN for others: drivers would not look at the number. */
function withItself(x: string, result: string, { least, wide }: { least: 0 | 1; wide: boolean }): string {
  const [type, bits] = [wgslType("float32", wide), wgslType("uint32", wide)];
  const isFinite = `(bitcast<${bits}>(${x}) & ${bits}(0x7fffffffu)) - ${bits}(${least}u) < ${bits}(${0x7f800000 - least}u)`;
  return `select(bitcast<${type}>(bitcast<${bits}>(${x}) | ${bits}(0x7fc00000u)), ${type}(${result}), ${isFinite})`;
}

/** Sine, or cosine where the phase is a half, by the function of `shaders/parts/sine.wgsl`. */
const sine = (x: string, phase: string, wide: boolean) =>
  wide ? fourOf((lane) => `sine(${x}[${lane}], ${phase})`, wgslType("float32", true)) : `sine(${x}, ${phase})`;

/** Rounds to float16 by the function of `shaders/parts/round_to_half.wgsl`. */
const roundToHalf = (x: string) => `round_to_half(f32(${x}))`;

const wordAndFloat = new DataView(new ArrayBuffer(4));
const halfBits = new Uint16Array(1);
const half = new Float16Array(halfBits.buffer);

function halfFrom(bits: number): number {
  halfBits[0] = bits;
  return half[0];
}

/** Rounds half to even, as IEEE 754 and WGSL do and `Math.round` does not. */
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction !== 0.5) return fraction < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Every elementwise primitive by name. */
export const elementwise = {
  neg: numeric("neg", {
    evaluate: (x) => -x,
    wgsl: ([x], { inputs: [dtype] }) => dtype === "uint32" ? `(0u - ${x})` : `(-${x})`,
    vjp: (g) => [g.neg()],
  }),
  abs: numeric("abs", { evaluate: Math.abs, wgsl: ([x]) => `abs(${x})`, vjp: (g, { inputs: [x] }) => [g.mul(x.sign())] }),
  sign: numeric("sign", {
    evaluate: Math.sign,
    wgsl([x], { inputs: [dtype], wide }) {
      if (dtype === "uint32") return `min(${x}, ${wgslType(dtype, wide)}(1u))`;
      return isFloat(dtype) ? `select(sign(${x}), ${x}, ${wgslIsNaN(x, wide)})` : `sign(${x})`;
    },
    vjp: none,
  }),
  exp: real("exp", { evaluate: Math.exp, wgsl: ([x]) => `exp(${x})`, vjp: (g, { output }) => [g.mul(output)], cost: 8 }),
  log: real("log", { evaluate: Math.log, wgsl: ([x]) => `log(${x})`, vjp: (g, { inputs: [x] }) => [g.div(x)], cost: 8 }),
  sqrt: real("sqrt", {
    evaluate: Math.sqrt,
    wgsl: ([x]) => `sqrt(${x})`,
    vjp: (g, { output }) => [g.div(output).mul(0.5)],
    cost: 4,
  }),
  sin: real("sin", {
    evaluate: Math.sin,
    wgsl: ([x], { wide }) => sine(x, "0.0f", wide),
    vjp: (g, { inputs: [x] }) => [g.mul(x.cos())],
    cost: 8,
  }),
  cos: real("cos", {
    evaluate: Math.cos,
    wgsl: ([x], { wide }) => sine(x, "0.5f", wide),
    vjp: (g, { inputs: [x] }) => [g.mul(x.sin()).neg()],
    cost: 8,
  }),
  tanh: real("tanh", {
    evaluate: Math.tanh,
    // drivers that compute it by exponentials overflow beyond ±10, where the result is ±1 in float32, and lose small numbers
    wgsl([x], { wide }) {
      const type = wgslType("float32", wide);
      const near = `${x} * (1.0 - ${x} * ${x} * (0.33333334 - ${x} * ${x} * 0.13333334))`;
      const far = `tanh(clamp(${x}, ${type}(-10.0), ${type}(10.0)))`;
      return `select(${far}, ${near}, ${wgslIsNaN(x, wide)} | (abs(${x}) < ${type}(0.1)))`;
    },
    vjp: (g, { output }) => [g.mul(output.square().neg().add(1))],
    cost: 10,
  }),
  sigmoid: real("sigmoid", {
    evaluate: (x) => 1 / (1 + Math.exp(-x)),
    wgsl: ([x]) => `(1.0 / (1.0 + exp(-${x})))`,
    vjp: (g, { output }) => [g.mul(output).mul(output.neg().add(1))],
    cost: 10,
  }),
  floor: real("floor", { evaluate: Math.floor, wgsl: ([x]) => `floor(${x})`, vjp: none }),
  round: real("round", { evaluate: roundHalfToEven, wgsl: ([x]) => `round(${x})`, vjp: none }),
  add: numeric("add", { evaluate: (a, b) => a + b, wgsl: ([a, b]) => `(${a} + ${b})`, vjp: (g) => [g, g] }),
  sub: numeric("sub", {
    evaluate: (a, b) => a - b,
    wgsl: ([a, b], { output, wide }) => a === b && isFloat(output) ? withItself(a, "0.0", { least: 0, wide }) : `(${a} - ${b})`,
    vjp: (g) => [g, g.neg()],
  }),
  mul: numeric("mul", {
    evaluate: (a, b) => a * b,
    evaluateInteger: Math.imul,
    wgsl: ([a, b]) => `(${a} * ${b})`,
    vjp: (g, { inputs: [a, b] }) => [g.mul(b), g.mul(a)],
  }),
  div: numeric("div", {
    evaluate: (a, b) => a / b,
    evaluateInteger: (a, b) => b === 0 ? a : Math.trunc(a / b), // division of integers by zero gives the dividend, as in WGSL
    wgsl: ([a, b], { output, wide }) => a === b && isFloat(output) ? withItself(a, "1.0", { least: 1, wide }) : `(${a} / ${b})`,
    vjp: (g, { inputs: [, b], output }) => [g.div(b), g.mul(output).div(b).neg()],
    cost: 2,
  }),
  maximum: numeric("maximum", {
    evaluate: Math.max,
    wgsl: ([a, b], { output, wide }) => isFloat(output) ? `maximum${wide ? 4 : ""}(${a}, ${b})` : `max(${a}, ${b})`,
    vjp: (g, { inputs: [a, b] }) => [g.mul(b.lessEqual(a).cast("float32")), g.mul(a.less(b).cast("float32"))],
  }),
  minimum: numeric("minimum", {
    evaluate: Math.min,
    wgsl: ([a, b], { output, wide }) => isFloat(output) ? `minimum${wide ? 4 : ""}(${a}, ${b})` : `min(${a}, ${b})`,
    vjp: (g, { inputs: [a, b] }) => [g.mul(a.lessEqual(b).cast("float32")), g.mul(b.less(a).cast("float32"))],
  }),
  less: comparison("less", "<", (a, b) => a < b),
  lessEqual: comparison("lessEqual", "<=", (a, b) => a <= b),
  equal: comparison("equal", "==", (a, b) => a === b),
  bitAnd: bitwise("bitAnd", (a, b) => a & b, ([a, b]) => `(${a} & ${b})`),
  bitOr: bitwise("bitOr", (a, b) => a | b, ([a, b]) => `(${a} | ${b})`),
  bitXor: bitwise("bitXor", (a, b) => a ^ b, ([a, b]) => `(${a} ^ ${b})`),
  shiftLeft: shift("shiftLeft", "<<", (a, b) => a << b),
  shiftRight: shift("shiftRight", ">>", (a, b) => a >>> b),
  /** The half-precision number in the lower 16 bits. */
  unpackHalf: define("unpackHalf", {
    evaluate: (word) => halfFrom(word & 0xffff),
    wgsl([x], { wide }) {
      const unpacked = (word: string) => `unpack2x16float(${word}).x`;
      return wide ? fourOf((lane) => unpacked(`${x}[${lane}]`), wgslType("float32", true)) : unpacked(x);
    },
    vjp: none,
  }, ([x]) => {
    if (x.dtype !== "uint32") throw new TypeError(`Cannot unpack halves from ${describe(x)}: wanted uint32`);
    return "float32";
  }),
  /** The 32 bits of a float32. */
  toBits: define("toBits", {
    evaluate(x) {
      wordAndFloat.setFloat32(0, x);
      return wordAndFloat.getUint32(0);
    },
    wgsl: ([x], { wide }) => `bitcast<${wgslType("uint32", wide)}>(${x})`,
    vjp: none,
  }, ([x]) => {
    if (x.dtype !== "float32") throw new TypeError(`Cannot take the bits of ${describe(x)}: wanted float32`);
    return "uint32";
  }),
  /** The float32 of 32 bits. */
  fromBits: define("fromBits", {
    evaluate(word) {
      wordAndFloat.setUint32(0, word);
      return wordAndFloat.getFloat32(0);
    },
    wgsl: ([x], { wide }) => `bitcast<${wgslType("float32", wide)}>(${x})`,
    vjp: none,
  }, ([x]) => {
    if (x.dtype !== "uint32") throw new TypeError(`Cannot make floats of ${describe(x)}: wanted the bits as uint32`);
    return "float32";
  }),
  where: define("where", {
    evaluate: (condition, a, b) => condition !== 0 ? a : b,
    wgsl: ([condition, a, b], { wide }) => `select(${b}, ${a}, ${condition} != ${wgslType("uint32", wide)}(0u))`,
    vjp: (g, { inputs: [condition] }) => [undefined, condition.where(g, 0), condition.where(0, g)],
  }, (inputs) => {
    if (inputs[0].dtype !== "uint32") {
      throw new TypeError(`Cannot choose by ${describe(inputs[0])}: wanted uint32 zeros and ones`);
    }
    checkKinds("where", inputs.slice(1));
    return computed(inputs[1].dtype);
  }),
  /** The first operand; the second only has to be known before. */
  after: define("after", {
    isAlias: true,
    evaluate: (x) => x,
    wgsl: ([x, y]) => `select(${x}, ${x}, ${y} == ${y})`,
    vjp: (g) => [g, undefined],
  }, ([x]) => x.dtype),
  cast: define("cast", {
    evaluate: (x) => x,
    wgsl([x], { inputs, output, wide }) {
      if (isFloat(inputs[0]) && !isFloat(output)) {
        const type = wgslType(output, wide);
        return `select(${type}(${x}), ${type}(0), ${wgslIsNaN(x, wide)})`;
      }
      if (output === "float16") {
        return wide ? fourOf((lane) => roundToHalf(`${x}[${lane}]`), wgslType(output, wide)) : roundToHalf(x);
      }
      return wgslType(inputs[0]) === wgslType(output) ? x : `${wgslType(output, wide)}(${x})`;
    },
    vjp: (g, { inputs: [x] }) => [isFloat(x.dtype) ? g : undefined],
  }, ([x], attributes) => {
    if (!((attributes.dtype as string) in bytesPerElement)) {
      throw new TypeError(`Cannot cast ${describe(x)} to ${attributes.dtype}: wanted one of ${Object.keys(bytesPerElement)}`);
    }
    return attributes.dtype as DType;
  }),
} as const satisfies Record<string, Elementwise>;
