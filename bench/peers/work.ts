/**
 * What is compared: each library states the same functions in its own words.
 *
 * @module
 */

/** The functions that every library computes. Each gives a list of arrays; losses are means of squares. */
export type FunctionName =
  /** Of `[…, m, k]` and `[…, k, n]`. */
  | "matmul"
  /** The first operand is stored `[k, m]`. */
  | "matmulTransposedA"
  /** The second operand is stored `[n, k]`. */
  | "matmulTransposedB"
  /** Over the last axis. */
  | "softmax"
  /** Of rows and a weight; epsilon is 1e-5. */
  | "rmsNorm"
  /** `-(tanh(x / 2 + 1 / 4)² - 1)`: six operations. */
  | "elementwise"
  /** Of everything. */
  | "sum"
  /** Of `tanh(x w1) w2`: the loss and its gradients with respect to x, w1, w2. */
  | "mlp"
  /** The Hessian of that loss times a direction; inputs are x, w1, w2 and three directions. */
  | "mlpHessian"
  /** A Llama layer, see {@linkcode blockSizes}: the loss and its gradients with respect to all ten inputs. */
  | "block"
  /** The Hessian of that loss times a direction; inputs are those of the block and ten directions. */
  | "blockHessian"
  /** `x * 0.9 + 0.1`, ten times. */
  | "tinyOps";

/**
 * Sizes of the Llama layer. Its inputs are x `[tokens, width]`, the weight of the first norm `[width]`, the maps of queries, keys,
 * values and attention's output `[width, width]` each, the weight of the second norm `[width]`, gate and up `[width, inner]`, and down
 * `[inner, width]`.
 */
export const blockSizes = { tokens: 128, width: 256, heads: 8, headDim: 32, inner: 768 } as const;

/** Stabilises both norms. */
export const epsilon = 1e-5;

/** Cosines and sines, `[tokens, headDim / 2]`, of Llama's rotation: pairs are (i, i + headDim / 2), the base is 10 000. */
export function rotation(): { readonly cos: Float32Array<ArrayBuffer>; readonly sin: Float32Array<ArrayBuffer> } {
  const half = blockSizes.headDim / 2;
  const angles = Float64Array.from({ length: blockSizes.tokens * half }, (_, index) => {
    return Math.floor(index / half) * 10_000 ** (-(index % half) / half);
  });
  return { cos: new Float32Array(angles.map(Math.cos)), sin: new Float32Array(angles.map(Math.sin)) };
}

/** Numbers on the host. */
export interface HostArray {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** A function on its inputs, on a device. */
export interface Job {
  /** Queues one repetition, and frees what it gives. */
  run(): void;
  /** Waits for all that was queued. */
  done(): Promise<unknown>;
  /** Outputs of one more repetition. */
  read(): Promise<Float32Array[]>;
}

/** A library, its device open. */
export interface Library {
  /** Puts the inputs on the device. */
  prepare(name: FunctionName, inputs: readonly HostArray[]): Job;
}
