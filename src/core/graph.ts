/**
 * The graph: immutable nodes, the records that say what an operation is, and the values of nodes that have been computed.
 *
 * @module
 */

import type { DType, TensorData } from "./dtype.ts";
import type { Doubt } from "./doubt.ts";
import type { Shape } from "./shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Kernel, KernelTarget } from "../kernels/kernel.ts";

/** Shape and element type: all that a rule may know about a tensor before it is computed. */
export interface TensorType {
  /** Length of each axis. */
  readonly shape: Shape;
  /** Type of the elements. */
  readonly dtype: DType;
}

/** Settings of an operation that are part of the program: plain data, compared by their JSON text. */
export type Attributes = Readonly<Record<string, number | string | boolean | readonly number[] | readonly (readonly number[])[]>>;

/** A tensor as a strided window on a row-major buffer; offset and strides in elements. */
export interface Strided {
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}

/** What a derivative rule sees of the operation that it differentiates. */
export interface VjpCall {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attributes: Attributes;
  /** Adds a fused operation to the graph: rules of layers below tensors have no other way to one. */
  readonly fuse: (op: Fused, inputs: readonly Tensor[]) => Tensor;
}

/**
 * Vector-Jacobian product: from the gradient of the output, the gradient of each input (`undefined` for none), written with Tensor
 * methods so that it can be differentiated again.
 */
export type Vjp = (gradient: Tensor, call: VjpCall) => readonly (Tensor | undefined)[];

interface Named {
  readonly name: string;
}

interface Rules extends Named {
  /** Type of the result; throws where the inputs do not fit. */
  readonly infer: (inputs: readonly TensorType[], attributes: Attributes) => TensorType;
  readonly vjp: Vjp;
}

/** A tensor that exists before the program runs: data, parameters, results of earlier programs. */
export interface Leaf extends Named {
  readonly kind: "leaf";
}

/** Applied to each element alone; inputs and output have one shape. */
export interface Elementwise extends Rules {
  readonly kind: "elementwise";
  /** Meaning in float64 (or as an exact integer) of one element. */
  readonly evaluate: (...operands: number[]) => number;
  /** Exact meaning on 32-bit integers, where float64 arithmetic would differ. */
  readonly evaluateInteger?: (...operands: number[]) => number;
  /** WGSL expression of one element, or of four at once where `wide`, from the expressions of the operands. */
  readonly wgsl: (operands: readonly string[], types: { inputs: readonly DType[]; output: DType; wide: boolean }) => string;
  /** Rough price of one element, in additions; the fuser weighs recomputing against storing by it. */
  readonly cost: number;
  /** The value is the first operand's, so that kernels may read that one's memory; the others only have to be known before. */
  readonly isAlias?: true;
}

/** Where one input axis of a view reads: `step * coordinate[axis] + start`, or the constant `start` where `axis` is -1. */
export interface AxisMap {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
}

/** The same elements seen under other coordinates. */
export interface View extends Rules {
  readonly kind: "view";
  /** Per input axis where it reads; `undefined` for a reshape, which keeps the row-major order. */
  readonly map: (input: Shape, attributes: Attributes) => readonly AxisMap[] | undefined;
  /** Whether coordinates may fall outside of the input, where the value is zero (padding). */
  readonly guarded: boolean;
}

/** A tensor that is a function of its coordinates alone. */
export interface Generator extends Rules {
  readonly kind: "generator";
  readonly evaluate: (coordinates: readonly number[], attributes: Attributes) => number;
  readonly wgsl: (coordinates: readonly string[], attributes: Attributes, dtype: DType) => string;
}

/** Rows of a table chosen by an index tensor: `output[i…, d…] = table[indices[i…], d…]`. */
export interface Gather extends Rules {
  readonly kind: "gather";
}

/** Combines the elements along `attributes.axes`, which keep length 1. */
export interface Reduction extends Rules {
  readonly kind: "reduction";
  readonly identity: number;
  readonly evaluate: (accumulated: number, value: number) => number;
  readonly wgsl: (accumulated: string, value: string, type: { dtype: DType; wide: boolean }) => string;
}

/** Float64 (or exact integer) meaning of an operation on whole row-major arrays. */
export type ReferenceRule = (
  inputs: readonly { readonly type: TensorType; readonly data: TensorData }[],
  output: TensorType,
  attributes: Attributes,
) => TensorData;

/** How hand-written shaders compute an operation. */
export interface KernelBinding<Call = unknown> {
  /** In order of preference; the first that applies is used. */
  readonly kernels: readonly Kernel<Call>[];
  readonly call: (inputs: readonly Strided[], output: TensorType, attributes: Attributes) => Call;
  /** Names calls that the same kernel is expected to be fastest for; `undefined`, or absent, where timing would not repay. */
  shapeClass?(call: Call): string | undefined;
  /**
   * The kernels mark how they store (`//: out`, `//: store` and `//: params`), so that what follows element by element is computed there:
   * see `withEpilogue`.
   */
  readonly goesOn?: true;
  /** The kernels change parts of the first input: they find it in the memory of the result, and do not bind it. */
  readonly overwrites?: true;
  /** Into how many pieces a device had better cut the sums of a result (see `KernelPrimitive.inPieces`): 1 for none. */
  pieces?(inputs: readonly Strided[], target: KernelTarget): number;
  /** Whether input `position` may be read through this window; without it inputs are stored contiguously first. */
  readonly accepts?: (view: Strided, position: number) => boolean;
}

/** A primitive with a hand-written kernel. */
export interface KernelPrimitive extends Rules {
  readonly kind: "kernel";
  readonly binding: KernelBinding;
  /** The same as a sum of pieces that do not wait for one another, where `binding.pieces` may ask for them. */
  readonly inPieces?: (inputs: readonly Node[], pieces: number) => Node;
  readonly reference: ReferenceRule;
}

/** How an operation computes a window of its result, so that the result may be cut. */
export interface WindowRule {
  /** For each input, the axis of the result that each of its axes shares windows with; -1 for one that is needed whole. */
  readonly axes: readonly (readonly number[])[];
  /** An input that is a place along an axis of the result: in a window it counts from where that begins, below zero too. */
  readonly place?: { readonly input: number; readonly axis: number };
}

/**
 * A fast kernel that states what it means. `compose` builds the same value from other operations: it gives the shape, the derivatives
 * of every order, the oracle, and the fallback where no kernel applies. An optional `vjp` names a fast backward pass.
 */
export interface Fused extends Named {
  readonly kind: "fused";
  readonly binding: KernelBinding;
  readonly compose: (inputs: readonly Tensor[], attributes: Attributes) => Tensor;
  readonly vjp?: Vjp;
  /**
   * For results that are too large for a buffer: the kernels compute windows of them, whatever their lengths. Without it, the composition
   * is cut.
   */
  readonly windows?: WindowRule;
  /**
   * One of several results of a kernel (see `applyParts`): where that kernel runs, the first input, a window on what it stores, is the
   * result; elsewhere the composition.
   */
  readonly isPart?: true;
}

/** A fast kernel of several results, which it stores one after another. */
export interface FusedParts extends Named {
  readonly binding: KernelBinding;
  readonly compose: (inputs: readonly Tensor[], attributes: Attributes) => readonly Tensor[];
  /** Fast backward passes of some of the results. */
  readonly vjps?: readonly (Vjp | undefined)[];
}

/** Every primitive but the leaf. */
export type Primitive = Elementwise | View | Generator | Gather | Reduction | KernelPrimitive;

/** What a node may compute. */
export type Operation = Leaf | Primitive | Fused;

/** Memory of a computed tensor. One owner: the runtime, which fills and frees it. */
export interface Value {
  /** Data on the host that no device holds yet. */
  host?: TensorData;
  /** The backend's own handle, once computed or uploaded. */
  buffer?: object;
  /** Which backend `buffer` belongs to. */
  owner?: object;
  state: "pending" | "ready" | "disposed" | "failed";
  error?: Error;
  /** Work that filled it, or what it was computed from, and that the device may have refused. */
  doubts?: readonly Doubt[];
}

/** The operation of tensors that exist before a program runs. */
export const leaf: Leaf = { kind: "leaf", name: "leaf" };

/** The attributes of an operation that has none. */
export const noAttributes: Attributes = {};

let made = 0;

/** How many nodes have been made so far: what is made from now on has a `serial` of at least this. */
export function nodesMade(): number {
  return made;
}

/** One vertex of the graph. Immutable, but that its value is remembered once it has been computed. */
export class Node implements TensorType {
  /** Position in the order in which nodes were made. */
  readonly serial: number = made++;
  value: Value | undefined;
  #composition: Node | undefined;
  #text: string | undefined;

  constructor(
    readonly op: Operation,
    readonly inputs: readonly Node[],
    readonly shape: Shape,
    readonly dtype: DType,
    readonly attributes: Attributes = noAttributes,
    private readonly compose?: () => Node,
    /** Of the same value, and cheaper: what runs instead. Derivatives follow what was written, so that they know every node of it. */
    readonly simpler?: Node,
  ) {}

  /** The node that a fused operation stands for, built when first asked for. */
  get composition(): Node {
    if (!this.compose) throw new Error(`${this.op.name} is not a fused operation`);
    return this.#composition ??= this.compose();
  }

  /** Operation and attributes as text: with the inputs, the identity of the node. */
  get text(): string {
    return this.#text ??= this.attributes === noAttributes ? this.op.name : `${this.op.name}${JSON.stringify(this.attributes)}`;
  }
}

/** `float32[2,3]`, as error messages write a type. */
export function describe(type: TensorType): string {
  return `${type.dtype}[${type.shape}]`;
}

/** A node that holds a value. */
export function leafNode(type: TensorType, value: Value | undefined): Node {
  const node = new Node(leaf, [], type.shape, type.dtype);
  node.value = value;
  return node;
}

/** Value of a leaf; an error for a placeholder of a traced function. */
export function valueOf(node: Node): Value {
  if (!node.value) {
    throw new Error(`Cannot read ${node.dtype}[${node.shape}]: it is an argument of a function being traced by compile`);
  }
  return node.value;
}
