/**
 * Buffers as generated code reads and writes them, one element at a time or four neighbours at once.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import { TEXTURE_WIDTH } from "../core/texels.ts";
import { fourOf, wgslStoredType, wgslType } from "../core/wgsl.ts";
import { replaceMarked } from "../kernels/marks.ts";
import { shaderFunctions } from "../kernels/shaders.ts";

/** A buffer of a generated kernel. */
export interface CodeBinding {
  /** Node that it holds; -1 for partial results. */
  readonly node: number;
  readonly name: string;
  /** Dtype of the elements as stored. */
  readonly dtype: DType;
  /** `overwritten`: read through the output of the same name. */
  readonly access: "read" | "write" | "overwritten";
  /** Whether it is stored four elements at a time, where outputs of one kernel differ in that. */
  readonly wide?: boolean;
  /** Read from a texture instead: of how many texels. */
  readonly texels?: number;
}

/** Expression of a stored node's element (or four, from a position in fours), or `undefined` for a node that is computed in place. */
export type Load = (node: number, linear: () => string, wide: boolean) => string | undefined;

/** Loads four elements, from a position in fours, or one. */
function texelLoad(name: string, position: string, wide: boolean): string {
  const texel = wide ? position : `(${position} / 4u)`;
  const four = `textureLoad(${name}, vec2<u32>(${texel} % ${TEXTURE_WIDTH}u, ${texel} / ${TEXTURE_WIDTH}u))`;
  return wide ? four : `${four}[${position} % 4u]`;
}

/** Declares the buffers of one kernel, loads from them and stores to them. */
export class CodeBuffers {
  /** Buffers that are read one element at a time somewhere: those are declared so. */
  readonly #narrow = new Set<string>();
  /** Buffers that are read four elements at a time somewhere. */
  readonly #wide = new Set<string>();
  readonly #byNode: ReadonlyMap<number, CodeBinding>;

  /** @param wide whether outputs are stored four elements at a time */
  constructor(private readonly bindings: readonly CodeBinding[], private readonly wide: boolean) {
    this.#byNode = new Map(bindings.filter(({ access }) => access !== "write").map((binding) => [binding.node, binding]));
  }

  /**
   * Writes code twice: the first time shows which buffers are read one element at a time, the second time knows it.
   */
  settle<T>(write: () => T): T {
    write();
    return write();
  }

  readonly load: Load = (node, linear, wide) => {
    const binding = this.#byNode.get(node);
    if (!binding) return undefined;
    const { name, dtype, texels } = binding;
    if (texels !== undefined) return texelLoad(name, linear(), wide);
    (wide ? this.#wide : this.#narrow).add(name);
    const at = (position: string) => this.at(name, position);
    const narrow = this.#narrow.has(name);
    const element = !wide || !narrow
      ? at(linear())
      : fourOf((lane) => at(`${linear()} * 4u + ${lane}u`), wgslStoredType(dtype, true));
    return dtype === "float16" ? `${wgslType(dtype, wide)}(${element})` : element;
  };

  /** The stored element (or four) at a position. */
  at(name: string, position: string): string {
    return `${name}[${position}]`;
  }

  #declared(name: string): CodeBinding {
    return this.bindings.find((binding) => binding.name === name && binding.access !== "overwritten")!;
  }

  store(name: string, position: string, value: string): string {
    const { dtype, wide = this.wide } = this.#declared(name);
    const stored = dtype === "float16" ? `${wgslStoredType(dtype, wide)}(${value})` : value;
    return `${name}[${position}] = ${stored};`;
  }

  /** Declarations of the buffers, from the binding `next` on. */
  declarations(next = 0): string {
    return this.bindings.filter(({ access }) => access !== "overwritten").map((binding) => {
      const { node, name, dtype, access, texels } = binding;
      if (texels !== undefined) return `@group(0) @binding(${next++}) var ${name}: texture_storage_2d<rgba32float, read>;`;
      const isInput = access === "read" && node >= 0;
      const wide = isInput ? this.#wide.has(name) && !this.#narrow.has(name) : binding.wide ?? this.wide;
      const type = wgslStoredType(dtype, wide);
      const mode = access === "read" ? "read" : "read_write";
      return `@group(0) @binding(${next++}) var<storage, ${mode}> ${name}: array<${type}>;`;
    }).join("\n");
  }

  /** Fills a stored template: generated lines take the place of the marked ones. */
  fill(template: string, parts: Readonly<Record<string, string>>): string {
    const lines = Object.entries({ ...parts, bindings: this.declarations() });
    return this.withHead(replaceMarked(template, Object.fromEntries(lines.map(([mark, text]) => [mark, () => text]))));
  }

  /** Puts before a shader what it needs besides buffers. */
  withHead(body: string): string {
    const head = [
      /\bf16\b/.test(body) ? "enable f16;\n" : "",
      body.includes("zero_bits") ? "var<private> zero_bits: u32;\n" : "",
      ...Object.entries(shaderFunctions).map(([name, text]) => body.includes(`${name}(`) ? text : ""),
    ];
    return head.join("") + withZero(body);
  }
}

/** Sets `zero_bits` to a zero that no driver foresees, where it is used: constants of NaN and infinity, and zeros, are not folded. */
function withZero(body: string): string {
  if (!body.includes("zero_bits")) return body;
  const [, groups] = /@builtin\(num_workgroups\) (\w+)/.exec(body)!;
  return body.replace(/fn main\([^{]*\{\n/, (start) => `${start}  zero_bits = u32(${groups}.z == 0u);\n`);
}
