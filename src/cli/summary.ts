/**
 * What a run ends with.
 *
 * @module
 */

import { formatBytes, formatSeconds, table } from "./table.ts";

/** Loss on text that was held out of training. */
export interface HeldOut {
  /** Mean cross-entropy of a token, in nats. */
  readonly lossNats: number;
  readonly perplexity: number;
}

/** Content of `summary.json`. */
export interface RunSummary {
  /** Folder of the run. */
  readonly output: string;
  readonly backend: { readonly name: string; readonly description: string };
  readonly seed: number;
  readonly quantizer: string;
  /** Number of parameters. */
  readonly parameters: number;
  /** What the model in full precision is called. */
  readonly base: string;
  /** Full precision; its weights rounded without training; trained with the quantizer; and the packed file. */
  readonly heldOut: Readonly<Record<"fullPrecision" | "rounded" | "quantized" | "packed", HeldOut>>;
  /** Share of the gap between rounding and full precision that training closed. */
  readonly gapClosed: number;
  readonly packed: {
    readonly fileBytes: number;
    /** Of all tensors. */
    readonly bytes: number;
    readonly quantizedBytes: number;
    readonly quantizedWeights: number;
    /** Of the quantized weights, scales included. */
    readonly bitsPerWeight: number;
  };
  /** Wall time by phase. */
  readonly seconds: Readonly<Record<string, number>>;
  readonly sample: string;
}

/** The closing table of a run, for people. */
export function summaryTable(
  { base, heldOut, quantizer, parameters, packed, seconds, gapClosed, sample, output }: RunSummary,
): string {
  const rows = [
    [base, heldOut.fullPrecision, 4 * parameters, 32],
    ["rounded without training", heldOut.rounded, undefined, undefined],
    [`trained with ${quantizer}`, heldOut.quantized, undefined, undefined],
    ["packed", heldOut.packed, packed.bytes, packed.bitsPerWeight],
  ] as const;
  const losses = table(
    ["model", "held-out loss (nats)", "perplexity", "bytes", "bits per weight"],
    rows.map(([name, loss, bytes, bits]) => [
      name,
      loss.lossNats.toFixed(4),
      loss.perplexity.toFixed(3),
      bytes === undefined ? "" : formatBytes(bytes),
      bits === undefined ? "" : bits.toFixed(2),
    ]),
  );
  const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
  const times = Object.entries({ ...seconds, total }).map(([phase, value]) => `${phase} ${formatSeconds(value)}`).join(" · ");
  const calibrationShare = seconds.calibrate / (seconds.pretrain + seconds.quantize);
  return [
    "",
    losses,
    "",
    gapText(heldOut, gapClosed),
    times,
    ...(seconds.calibrate === undefined
      ? []
      : [`calibration took ${(100 * calibrationShare).toFixed(1)} % of the time of training`]),
    `written to ${output}`,
    "",
    sample,
  ].join("\n");
}

/** Less of a gap than this, in nats, is no gap to measure training by. */
const leastGap = 0.01;

function gapText({ rounded, fullPrecision }: RunSummary["heldOut"], gapClosed: number): string {
  const gap = rounded.lossNats - fullPrecision.lossNats;
  return gap < leastGap
    ? `rounding alone costs ${gap.toFixed(4)} nats: too little to tell what training closes of it`
    : `${(100 * gapClosed).toFixed(1)} % of the gap between rounding and full precision closed`;
}
