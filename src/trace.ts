/**
 * The two doors to running graphs: `realize` for any graph, `compile` for a function that runs again and again.
 *
 * @module
 */

import { atCaller } from "./core/errors.ts";
import { leafNode, type Node, nodesMade, type TensorType, type Value, valueOf } from "./core/graph.ts";
import { Recent } from "./core/recent.ts";
import { sameShape } from "./core/shape.ts";
import { flatten, follows, type Pattern, patternOf, unflatten } from "./core/tree.ts";
import type { ProgramBytes } from "./core/program.ts";
import { flushReads, prepare, type Prepared, preparedBytes, realizeNodes, submit } from "./runtime.ts";
import { isTensor, Tensor } from "./tensor.ts";

/**
 * Computes tensors together, in one submission. The originals remember their values and keep their history, so that they can still be
 * differentiated; the returned ones are the same values without a history, for loops that must not grow.
 *
 * Returns as soon as the work is queued; reading waits for it.
 *
 * @example
 * ```ts
 * import { realize, tensor } from "@hestia/hestia";
 * let x = tensor([1, 2]);
 * for (let i = 0; i < 3; i++) [x] = realize([x.mul(2)]); // without realize the graph would grow
 * console.log(await x.data()); // 8, 16
 * ```
 */
export function realize(tensors: readonly Tensor[]): Tensor[] {
  realizeNodes(tensors.map(({ node }) => node));
  return tensors.map(({ node }) => new Tensor(leafNode(node, node.value)));
}

/** A tensor of a type that has no value: what functions are planned with, see {@linkcode Compiled.bytes}. */
export function placeholder(type: TensorType): Tensor {
  return new Tensor(leafNode(type, undefined));
}

/** What a compiled function is called with: the structure that it declares, with a tensor or a number in place of each tensor. */
export type Arguments<T> = T extends Tensor ? Tensor | number : { readonly [K in keyof T]: Arguments<T[K]> };

/** Settings of `compile`. */
export interface CompileOptions<T> {
  /**
   * Arguments whose tensors the step may overwrite: outputs of their size take over their memory. They cannot be used afterwards.
   */
  readonly donate?: readonly (keyof T & string)[];
}

const typeOf = ({ shape, dtype }: TensorType): TensorType => ({ shape, dtype });

/** A compiled function. */
export interface Compiled<T, O> {
  /** One run, which returns as soon as its work is queued. */
  (inputs: Arguments<T>): O;
  /**
   * Device memory of a run on such arguments, whose values do not matter: exactly what is allocated for it, if nothing is there yet that
   * it can use. Undefined on the reference backend.
   */
  bytes(inputs: Arguments<T>): Promise<ProgramBytes | undefined>;
}

const isArgument = (value: unknown): value is Tensor | number => typeof value === "number" || isTensor(value);

type TracedFunction = (inputs: unknown) => unknown;

interface Trace {
  readonly prepared: Prepared;
  /** Arguments that it was traced for. */
  readonly pattern: Pattern<"number" | TensorType>;
  readonly donated: ReadonlySet<number>;
  readonly outputs: unknown;
  /** Leaves that are not arguments: tensors that the function closed over. */
  readonly captured: readonly Node[];
  readonly types: readonly TensorType[];
}

/**
 * A function that is traced once for each structure, shape and dtype of its arguments, and replayed afterwards: no graph is built, and
 * nothing is compiled or allocated.
 *
 * Numbers among the arguments are inputs: changing them compiles nothing. Inside of the function they are float32 scalars; an integer
 * that float32 cannot hold (a seed above 2²⁴, say) is refused, and travels as a uint32 tensor. The function must be pure: what it reads
 * besides its arguments is computed once, when it is traced, and is the same in every step.
 *
 * @param fn declares its arguments as tensors, in nested records and arrays; it returns tensors in nested records and arrays
 *
 * @example
 * ```ts
 * import { compile, gradients, tensor } from "@hestia/hestia";
 * const step = compile(({ w, x, y, rate }) => {
 *   const loss = x.matmul(w).sub(y).square().mean();
 *   const [g] = gradients(loss, [w]);
 *   return { loss, w: w.sub(g.mul(rate)) };
 * }, { donate: ["w"] });
 * const [x, y] = [tensor([[1, 2], [3, 4]]), tensor([[1], [2]])];
 * let w = tensor([[0], [0]]), loss = tensor(0);
 * for (let i = 0; i < 20; i++) ({ w, loss } = step({ w, x, y, rate: 0.05 }));
 * console.log(await loss.item() < 0.05); // true
 * ```
 */
export function compile<T = Readonly<Record<string, Tensor>>, O = unknown>(
  fn: (inputs: T) => O,
  { donate = [] }: CompileOptions<NoInfer<T>> = {},
): Compiled<T, O> {
  const traces = new Recent<Trace>(maxTraces);
  let last: Trace | undefined;
  const traceOf = (inputs: unknown): Trace => {
    const { leaves, paths, structure } = flatten(inputs, isArgument);
    const donated = new Set(
      paths.filter((_, index) => isTensor(leaves[index])).flatMap((path, index) => isDonated(path, donate) ? [index] : []),
    );
    const key = structure + leaves.map((value) => typeof value === "number" ? "n" : `${value}`);
    return traces.get(key, () => traceFunction(fn as unknown as TracedFunction, inputs, leaves, donated));
  };
  const run = (inputs: Arguments<T>): O => {
    const given = last && argumentsOf(inputs, last);
    if (given) return replay(last!, given) as O;
    last = traceOf(inputs);
    return replay(last, argumentsOf(inputs, last)!) as O;
  };
  return Object.assign(run, { bytes: (inputs: Arguments<T>) => preparedBytes(traceOf(inputs).prepared) });
}

/** Most traces that one compiled function remembers. */
const maxTraces = 256;

/** Tensors and numbers of a call. */
interface Given {
  readonly nodes: readonly Node[];
  readonly numbers: readonly number[];
}

/** The arguments of a call, if they are of the kind that a trace was made for. */
function argumentsOf(inputs: unknown, { pattern }: Trace): Given | undefined {
  const [nodes, numbers]: [Node[], number[]] = [[], []];
  const fits = follows(inputs, pattern, (value, kind) => {
    if (kind === "number") return typeof value === "number" && numbers.push(value) > 0;
    if (!isTensor(value)) return false;
    const { node } = value;
    return node.dtype === kind.dtype && (node.shape === kind.shape || sameShape(node.shape, kind.shape)) && nodes.push(node) > 0;
  });
  return fits ? { nodes, numbers } : undefined;
}

function replay({ prepared, donated, captured, types, outputs }: Trace, { nodes, numbers }: Given): unknown {
  realizeNodes(nodes);
  const values = nodes.map(valueOf);
  if (numbers.length > 0) values.push(scalars(numbers));
  for (const node of captured) values.push(valueOf(node));
  checkDonation(values, donated);
  if (nodes.some((_, index) => donated.has(index))) flushReads();
  const results = submit(prepared, types, values);
  return unflatten(outputs, isTensor, results.map((value, index) => new Tensor(leafNode(prepared.types[index], value))));
}

const isDonated = (path: string, donate: readonly string[]) =>
  donate.some((name) => path === name || path.startsWith(`${name}.`));

/** All numbers of one call travel in one buffer. */
function scalars(numbers: readonly number[]): Value {
  const rounded = numbers.find((value) => Number.isSafeInteger(value) && Math.fround(value) !== value);
  if (rounded !== undefined) {
    throw atCaller(
      new RangeError(
        `Cannot pass ${rounded} to a compiled step: numbers are float32 there, which would round it to ${
          Math.fround(rounded)
        }; ` +
          `wanted a tensor, such as tensor(Uint32Array.of(${rounded}), { shape: [] })`,
      ),
    );
  }
  return { host: Float64Array.from(numbers), state: "ready" };
}

function checkDonation(values: readonly Value[], donated: ReadonlySet<number>): void {
  if (donated.size === 0) return;
  const seen = new Map<Value, number>();
  values.forEach((value, index) => {
    const first = seen.get(value);
    if (first !== undefined && (donated.has(first) || donated.has(index))) {
      throw atCaller(new Error("Cannot donate a tensor that the step also receives as another argument"));
    }
    seen.set(value, index);
  });
}

/** What nodes made from `start` on read of older ones: computations that do not change from step to step. Views cost nothing. */
function olderThan(start: number, wanted: readonly Node[]): Node[] {
  const seen = new Set(wanted);
  for (const node of seen) {
    if (node.value || node.serial < start && node.op.kind !== "view") continue;
    for (
      const input of node.simpler ? [node.simpler] : node.op.kind === "fused" ? [...node.inputs, node.composition] : node.inputs
    ) {
      seen.add(input);
    }
  }
  return [...seen].filter((node) => node.serial < start && !["leaf", "view", "generator"].includes(node.op.kind));
}

function traceFunction(
  fn: TracedFunction,
  inputs: unknown,
  leaves: readonly (Tensor | number)[],
  donated: Set<number>,
): Trace {
  const start = nodesMade();
  const placeholders = leaves.filter(isTensor).map((tensor) => leafNode(tensor, undefined));
  const count = leaves.length - placeholders.length;
  const packed = leafNode({ shape: [count], dtype: "float32" }, undefined);
  let [nextTensor, nextNumber] = [0, 0];
  const symbols = leaves.map((value) => {
    if (isTensor(value)) return new Tensor(placeholders[nextTensor++]);
    const at = nextNumber++;
    return new Tensor(packed).slice([at], [at + 1]).reshape([]);
  });
  const outputs = fn(unflatten(inputs, isArgument, symbols));
  if (outputs instanceof Promise) {
    outputs.catch(() => {});
    throw atCaller(
      new TypeError("Cannot compile an async function: it is traced once, wanted one that returns tensors, not a promise"),
    );
  }
  const wanted = flatten(outputs, isTensor).leaves.map(({ node }) => node);
  realizeNodes(olderThan(start, wanted));
  const arguments_ = count > 0 ? [...placeholders, packed] : placeholders;
  if (count > 0) donated.add(placeholders.length); // the buffer of the numbers goes back to the pool
  const { prepared, leaves: bound } = prepare(wanted, arguments_, donated);
  return {
    prepared,
    donated,
    pattern: patternOf(
      inputs,
      (value) => typeof value === "number" ? "number" : isTensor(value) ? typeOf(value.node) : undefined,
    ),
    outputs,
    captured: bound.slice(arguments_.length),
    types: bound.map(typeOf),
  };
}
