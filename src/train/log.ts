/**
 * What a training run tells.
 *
 * @module
 */

/** One training step. A line of `metrics.jsonl` is this object, or a {@linkcode HeldOutMetrics}. */
export interface StepMetrics {
  /** Counted from 1 within the phase. */
  readonly step: number;
  /** Name of the phase: "pretrain", "quantize". */
  readonly phase: string;
  /** Mean cross-entropy of the step's batch, in nats a token. */
  readonly lossNats: number;
  /** Learning rate of the step. */
  readonly learningRate: number;
  /** Global norm of the gradient before clipping. */
  readonly gradientNorm: number;
  /** How far weights are pressed to the grid, 0 to 1; absent in full precision. */
  readonly pressure?: number;
  /** Mean temperature over the quantized tensors; absent in full precision. */
  readonly temperature?: number;
  /** Predicted tokens a second of wall time. */
  readonly tokensPerSecond: number;
  /** The loss or the gradient was NaN or infinite (null in files), and the step changed nothing. */
  readonly skipped?: true;
}

/** An evaluation between two steps. */
export interface HeldOutMetrics {
  /** The step before it. */
  readonly step: number;
  readonly phase: string;
  /** Held-out loss of the model as it would ship, in nats a token. */
  readonly heldOutLossNats: number;
  /** That of its latent weights, unrounded; absent in full precision. */
  readonly latentLossNats?: number;
  /** What the model writes. */
  readonly sample?: string;
}

/** The log of a run; `using` closes its file and gives the terminal back. */
export interface TrainingLog extends Disposable {
  /** Begin a phase of `totalSteps` steps. `title` is what people see. */
  begin(title: string, totalSteps: number): void;
  /** Tell of a step of the phase at hand. */
  step(metrics: StepMetrics): void;
  /** End the phase at hand, as a run does that is done or interrupted. */
  end(): void;
}
