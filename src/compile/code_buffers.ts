/**
 * Buffers as generated code reads and writes them, one element at a time or four neighbours at once.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import { fourOf, wgslStoredType, wgslType } from "../core/wgsl.ts";

/** A buffer of a generated kernel. */
export interface CodeBinding {
  /** Node that it holds; -1 for partial results. */
  readonly node: number;
  readonly name: string;
  /** Dtype of the elements as stored. */
  readonly dtype: DType;
  /** `overwritten`: read through the output of the same name. */
  readonly access: "read" | "write" | "overwritten";
}

/** Expression of a stored node's element (or four, from a position in fours), or `undefined` for a node that is computed in place. */
export type Load = (node: number, linear: () => string, wide: boolean) => string | undefined;

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
    const { name, dtype } = binding;
    (wide ? this.#wide : this.#narrow).add(name);
    const at = (position: string) => `${name}[${position}]`;
    const narrow = this.#narrow.has(name);
    const element = !wide || !narrow
      ? at(linear())
      : fourOf((lane) => at(`${linear()} * 4u + ${lane}u`), wgslStoredType(dtype, true));
    return dtype === "float16" ? `${wgslType(dtype, wide)}(${element})` : element;
  };

  store(name: string, position: string, value: string): string {
    const { dtype } = this.bindings.find((binding) => binding.name === name && binding.access === "write")!;
    return `${name}[${position}] = ${dtype === "float16" ? `${wgslStoredType(dtype, this.wide)}(${value})` : value};`;
  }

  declarations(): string {
    return this.bindings.filter(({ access }) => access !== "overwritten").map(({ node, name, dtype, access }, index) => {
      const isInput = access === "read" && node >= 0;
      const type = wgslStoredType(dtype, isInput ? this.#wide.has(name) && !this.#narrow.has(name) : this.wide);
      return `@group(0) @binding(${index}) var<storage, ${access === "read" ? "read" : "read_write"}> ${name}: array<${type}>;`;
    }).join("\n");
  }

  /** Fills a stored template: generated lines take the place of the marked ones. */
  fill(template: string, parts: Readonly<Record<string, string>>): string {
    const lines: Readonly<Record<string, string>> = { ...parts, bindings: this.declarations() };
    const body = template.split("\n").map((line) => {
      const marker = line.match(/\/\/: (\w+)$/)?.[1];
      return marker === undefined ? line : lines[marker];
    }).join("\n");
    const head = this.bindings.some(({ dtype }) => dtype === "float16") ? "enable f16;\n" : "";
    return `${head}${body.includes("zero_bits") ? "var<private> zero_bits: u32 = 0u;\n" : ""}${body}`;
  }
}
