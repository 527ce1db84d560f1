/**
 * Shaders of matrix products, for as many operands as a call has.
 *
 * @module
 */

import { TEXTURE_WIDTH } from "../core/texels.ts";
import { replaceMarked } from "./marks.ts";

/** A marked declaration with another binding. */
export const bound = (position: number) => (stored: string): string => stored.replace(/@binding\(\d+\)/, `@binding(${position})`);

/** The operands of one side. */
export interface MatmulSources {
  /** How many buffers hold them. */
  readonly buffers: number;
  /** Whether they are stored as float16. */
  readonly half: boolean;
}

/**
 * Loads from one of several buffers: `x[at]` from `x_0[at]`, `x_1[at]`, … Either by branches, or from all of them, of which one is
 * selected: that costs loads, but software drivers run all branches anyway, and SwiftShader takes minutes to compile those of a tile.
 */
function choice(loads: readonly string[], branches: boolean): string {
  const [first, ...others] = loads;
  if (!branches) {
    return `  return ${others.reduce((rest, load, index) => `select(${rest}, ${load}, buffer == ${index + 1}u)`, first)};`;
  }
  const cases = others.map((load, index) => `    case ${index + 1}u: { return ${load}; }`);
  return `  switch buffer {\n${cases.join("\n")}\n    default: { return ${first}; }\n  }`;
}

/** Type of what is loaded of one side: elements or quads. */
function declared(source: string, name: "a" | "b"): string {
  return source.match(new RegExp(`array<(\\w+)>; //: ${name}$`, "m"))![1];
}

/**
 * The text of a stored shader that reads so many buffers on each side, or a texture on each side that holds all of them. Binding
 * order: those of A, those of B, output, params. `branches` tells how one of several buffers is chosen.
 */
export function matmulText(
  source: string,
  inputs: Readonly<Record<"a" | "b", MatmulSources>> | "textures",
  { branches = false }: { readonly branches?: boolean } = {},
): string {
  const one: MatmulSources = { buffers: 1, half: false };
  const { a, b } = inputs === "textures" ? { a: one, b: one } : inputs;
  const declare = (name: "a" | "b", first: number, { buffers: count, half }: MatmulSources) => (stored: string): string => {
    const element = declared(stored, name);
    const type = `array<${half ? element === "Quad" ? "vec4<f16>" : "f16" : element}>`;
    if (inputs === "textures") return `@group(0) @binding(${first}) var ${name}: texture_storage_2d<rgba32float, read>;`;
    return Array.from(
      { length: count },
      (_, index) =>
        `@group(0) @binding(${first + index}) var<storage, read> ${count === 1 ? name : `${name}_${index}`}: ${type};`,
    ).join("\n");
  };
  const load = (name: "a" | "b", { buffers: count, half }: MatmulSources) => (stored: string): string => {
    const at = stored.match(/\[(\w+)\]/)![1];
    if (inputs === "textures") {
      return `  return textureLoad(${name}, vec2(${at} % ${TEXTURE_WIDTH}u, ${at} / ${TEXTURE_WIDTH}u));`;
    }
    const type = declared(source, name);
    const widened = (text: string) => half ? `${type}(${text})` : text;
    if (count === 1) return `  return ${widened(`${name}[${at}]`)};`;
    return choice(Array.from({ length: count }, (_, index) => widened(`${name}_${index}[${at}]`)), branches);
  };
  return replaceMarked(source, {
    a: declare("a", 0, a),
    b: declare("b", a.buffers, b),
    out: bound(a.buffers + b.buffers),
    params: bound(a.buffers + b.buffers + 1),
    load_a: load("a", a),
    load_b: load("b", b),
  });
}

/** The same with other outputs than the products themselves: declarations, what is done with a `value`, and the binding of `params`. */
export function withEpilogue(text: string, { out, store, params }: { out: string; store: string; params: number }): string {
  return replaceMarked(text, {
    out: () => out,
    store: () => store,
    params: bound(params),
  });
}
