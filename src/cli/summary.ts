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
  { base, heldOut, quantizer, parameters, packed, seconds, sample }: RunSummary,
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
  const phases = Object.entries({ ...seconds, total }).filter(([, value]) => value >= 0.05); // others had nothing to do
  const times = phases.map(([phase, value]) => `${phase} ${formatSeconds(value)}`).join(" · ");
  const calibrationShare = seconds.calibrate / (seconds.pretrain + seconds.quantize);
  return [
    "",
    losses,
    "",
    gapText(heldOut, base),
    times,
    ...(seconds.calibrate === undefined ? [] : [calibrationText(calibrationShare)]),
    "",
    sample,
  ].join("\n");
}

function calibrationText(share: number): string {
  return share <= 1
    ? `calibration took ${(100 * share).toFixed(1)} % of the time of training`
    : `calibration took ${share.toFixed(1)} times as long as training`;
}

/** Less of a gap than this, in nats, is no gap to measure training by. */
const leastGap = 0.01;

/** What training made of the loss that rounding costs, in words. */
export function gapText({ rounded, fullPrecision, quantized }: Omit<RunSummary["heldOut"], "packed">, base: string): string {
  const lost = rounded.lossNats - fullPrecision.lossNats;
  const left = quantized.lossNats - fullPrecision.lossNats;
  const nats = (value: number) => `${value.toFixed(4)} nats`;
  if (lost <= 0) return "rounding alone costs nothing here, so there is nothing to win back";
  if (lost < leastGap) return `rounding alone costs ${nats(lost)}: too little to tell what training wins back of it`;
  if (left >= lost) return `rounding costs ${nats(lost)}, and training adds ${nats(left - lost)} to that`;
  if (left >= 0) {
    return `rounding costs ${nats(lost)}, and training wins back ${(100 * (1 - left / lost)).toFixed(1)} % of it`;
  }
  return `rounding costs ${nats(lost)}; training wins back all of it, and ${
    nats(-left)
  } more than ${base} had: it learned on meanwhile`;
}

/**
 * The last lines of a command: what it wrote, and what may be typed next.
 *
 * @example
 * ```ts
 * import { closing } from "./summary.ts";
 *
 * console.log(closing({ written: ["model.gguf"], next: ["deno task generate --model model.gguf"] }));
 * ```
 */
export function closing({ written, next }: { readonly written: readonly string[]; readonly next: readonly string[] }): string {
  const lines = (word: string, values: readonly string[]) =>
    values.map((value, at) => `${(at === 0 ? word : "").padEnd(8)} ${value}`);
  return [...lines("written", written), ...lines("next", next)].join("\n");
}

/** The command by which a model writes: in a conversation, if it has learned that. */
export function generateCommand(path: string, { chatTemplate }: { readonly chatTemplate?: string }): string {
  return `deno task generate --model ${shellWord(path)} ${chatTemplate === undefined ? "--prompt 'Call me'" : "--chat"}`;
}

/** A word as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
