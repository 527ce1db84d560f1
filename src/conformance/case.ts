/**
 * Recorded cases: an operation, its parameters, its inputs, and what a trusted implementation computed from them.
 *
 * A case is an entry of a safetensors file's metadata whose value is a JSON object with an `op`; `inputs` and `outputs` map roles to tensors
 * of the same file, and every other field is a parameter.
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import { tensor } from "../create.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import { parseSafetensors, type Safetensors, type SafetensorsEntry, tensorValues } from "../io/safetensors.ts";
import type { Tensor } from "../tensor.ts";

/** One recorded case. Reading a parameter or a tensor that is not there throws an error that names the case. */
export class Case {
  readonly #tensors = new Map<string, Tensor>();

  constructor(
    /** Name of the file that holds it, and its own. */
    readonly name: string,
    readonly op: string,
    private readonly fields: JsonObject,
    private readonly file: Safetensors,
  ) {}

  /** A parameter as recorded; undefined when absent. */
  parameter(field: string): unknown {
    return this.fields[field];
  }
  /** A parameter that must be a number. `absent` stands for a field that is missing or null. */
  number(field: string, absent?: number): number {
    const value = this.fields[field] ?? absent;
    if (typeof value === "number") return value;
    throw new TypeError(`${this.name}: parameter "${field}" must be a number, got ${JSON.stringify(value)}`);
  }
  /** A parameter that must be an object; its own fields are not checked. */
  object<T = JsonObject>(field: string): T {
    const value = this.fields[field];
    if (isJsonObject(value)) return value as T;
    throw new TypeError(`${this.name}: parameter "${field}" must be an object, got ${JSON.stringify(value)}`);
  }
  /** A parameter that must be a list of texts. */
  texts(field: string): string[] {
    const value = this.fields[field];
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    throw new TypeError(`${this.name}: parameter "${field}" must be a list of texts, got ${JSON.stringify(value)}`);
  }

  /** Roles of the outputs. */
  get outputs(): string[] {
    return Object.keys(this.#roles("outputs"));
  }
  /** Whether an input of that role was recorded. */
  hasInput(role: string): boolean {
    return Object.hasOwn(this.#roles("inputs"), role);
  }
  /** Whether an output of that role was recorded. */
  hasOutput(role: string): boolean {
    return Object.hasOwn(this.#roles("outputs"), role);
  }
  /** Values of an input. */
  values(role: string): ArrayLike<number> {
    return tensorValues(this.#entry("inputs", role));
  }
  /** An input as a tensor; the same one each time. Integers become int32. */
  input(role: string): Tensor {
    let found = this.#tensors.get(role);
    if (!found) {
      const entry = this.#entry("inputs", role);
      const dtype = /^[IU]/.test(entry.dtype) ? "int32" : "float32";
      this.#tensors.set(role, found = tensor(tensorValues(entry), { shape: entry.shape, dtype }));
    }
    return found;
  }
  /** The inputs whose roles begin with `prefix`, by the rest of the role, in the recorded order. */
  inputsUnder(prefix: string): Record<string, Tensor> {
    const roles = Object.keys(this.#roles("inputs")).filter((role) => role.startsWith(prefix));
    return Object.fromEntries(roles.map((role) => [role.slice(prefix.length), this.input(role)]));
  }
  /** What was recorded for an output. */
  expected(role: string): { readonly values: ArrayLike<number>; readonly shape: Shape; readonly float32: boolean } {
    const entry = this.#entry("outputs", role);
    return { values: tensorValues(entry), shape: entry.shape, float32: entry.dtype === "F32" };
  }
  /** Frees the inputs. */
  dispose(): void {
    for (const input of this.#tensors.values()) input.dispose();
    this.#tensors.clear();
  }

  #roles(side: "inputs" | "outputs"): JsonObject {
    const roles = this.fields[side];
    return isJsonObject(roles) ? roles : {};
  }
  #entry(side: "inputs" | "outputs", role: string): SafetensorsEntry {
    const roles = this.#roles(side);
    const name = roles[role];
    const entry = Object.hasOwn(roles, role) && typeof name === "string" ? this.file.tensors.get(name) : undefined;
    if (!entry) throw new TypeError(`${this.name}: no tensor is recorded for "${role}" among its ${side}`);
    return entry;
  }
}

/** The cases of a file. `source` names it in errors and in the names of the cases. */
export function readCases(bytes: Uint8Array, { source }: { readonly source: string }): Case[] {
  const file = parseSafetensors(bytes, { source });
  return Object.entries(file.metadata).flatMap(([name, text]) => {
    const fields = parseObject(text);
    return typeof fields?.op === "string" ? [new Case(`${source}: ${name}`, fields.op, fields, file)] : [];
  });
}

function parseObject(text: string): JsonObject | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
