/**
 * `deno task evaluate --protocol` and `--kl-base`: perplexity by a named way of counting, and divergence from a base model.
 *
 * @module
 */

import { readRows } from "../data/rows.ts";
import { type DataFile, filesOf, parseDataSpecs } from "../data/source.ts";
import { type BaseHeader, readHeader } from "../evaluation/base_logits.ts";
import { baseLogits, type Divergence, divergenceFromBase } from "../evaluation/divergence.ts";
import { type Perplexity, perplexityOf, protocolOptions, textPerplexity } from "../evaluation/perplexity.ts";
import { type ProtocolName, protocols, textChunks } from "../evaluation/protocols.ts";
import type { Mean } from "../evaluation/statistics.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { byteLengthOf, readFileAt } from "../io/files.ts";
import type { LanguageModel } from "../llama/checkpoint.ts";
import { splitTokens } from "../train/data.ts";
import type { Option } from "./args.ts";
import { loadCorpus, PACKAGED_CORPUS } from "./corpus.ts";
import { UsageError } from "./errors.ts";
import { makeWritableFolder, readText } from "./files.ts";
import { localSources } from "./hub.ts";
import type { Context } from "./main.ts";
import { openModel, refusing } from "./models.ts";
import { reportedProgress } from "./progress.ts";
import { table } from "./table.ts";

/** Options of perplexity. */
export const perplexityOptions = {
  protocol: {
    type: "string",
    value: "NAME",
    choices: Object.keys(protocols) as ProtocolName[],
    description: "Measure perplexity as tables in the literature do",
  },
  context: {
    type: "integer",
    minimum: 2,
    description: "Tokens of a window of the protocol (default: 512, or all that the model takes)",
  },
  stride: { type: "integer", minimum: 1, description: "Tokens from one window to the next, for stride (default: half a window)" },
  klBase: {
    type: "string",
    value: "FILE",
    description:
      "llama.cpp's file of base logits: compare with it where it is there, with its text; else write it, of this model (protocol llama.cpp)",
  },
} as const satisfies Readonly<Record<string, Option>>;

/** What was typed. */
export interface PerplexityFlags {
  readonly model: string;
  readonly data: string;
  /** Share of the novel that is measured. */
  readonly heldOutFraction: number;
  readonly protocol?: ProtocolName;
  readonly context?: number;
  readonly stride?: number;
  readonly klBase?: string;
  readonly field?: string;
  readonly allowUnknown?: boolean;
}

/** Measures, and prints what was found. @returns What `--json` prints. */
export async function runPerplexity(flags: PerplexityFlags, context: Context): Promise<unknown> {
  const { klBase, protocol = klBase === undefined ? "whole" : "llama.cpp" } = flags;
  if (klBase !== undefined && protocol !== "llama.cpp") {
    throw new UsageError(`--kl-base goes with --protocol llama.cpp, got "${protocol}"`);
  }
  const isThere = klBase !== undefined && await Deno.stat(klBase).then(() => true, () => false);
  if (klBase !== undefined && !isThere) await makeWritableFolder(klBase.replace(/[^/\\]*$/, "") || ".");
  const { model } = await openModel(flags.model, flags);
  if (isThere) return await compared(model, klBase, { ...flags, ...context });
  const documents = await documentsOf(flags, model);
  const settings = await refusing(() => protocolOptions(model, { contextLength: flags.context, stride: flags.stride }));
  using shown = reportedProgress({ title: "perplexity", unit: "tokens" });
  const running = { signal: context.signal, onProgress: shown.update };
  const found = await refusing(() =>
    klBase === undefined
      ? textPerplexity(model, documents, { protocol, ...settings, ...running })
      : writeBase(model, klBase, { ...textChunks(model, documents, settings), ...running })
  );
  shown.done();
  context.print(`protocol ${protocol}: ${protocols[protocol].describe(settings)}`);
  context.print(perplexityTable(found));
  if (klBase !== undefined) context.print(`written: ${klBase}`);
  return { model: flags.model, data: flags.data, protocol, ...settings, ...found, ...(klBase === undefined ? {} : { klBase }) };
}

/** Texts of the files that were typed: a file of text is one, a table has one a row. Of the novel the end alone. */
async function documentsOf(
  { data, heldOutFraction, field = "text" }: PerplexityFlags,
  { tokenizer }: LanguageModel,
): Promise<string[]> {
  if (data === PACKAGED_CORPUS) {
    const { heldOut } = splitTokens(tokenizer.encode(await loadCorpus(data)), heldOutFraction);
    return [tokenizer.decode(heldOut)]; // what training with these tokens leaves out, to the token
  }
  return await refusing(async () => {
    const documents: string[] = [];
    for (const spec of await localSources(parseDataSpecs([data]))) {
      for (const file of await filesOf(spec)) documents.push(...await textsOf(file, field));
    }
    return documents;
  });
}

async function textsOf(file: DataFile, field: string): Promise<string[]> {
  if (file.format === "text") {
    if (file.compression) throw new UsageError(`cannot measure perplexity on ${file.path}: wanted it without compression`);
    return [await readText(file.path, "text")];
  }
  return (await readRows(file.path)).map((row, index) => {
    const text = row[field];
    if (typeof text === "string") return text;
    throw new UsageError(`cannot read "${file.path}": row ${index + 1} has no text in "${field}"; name another by --field`);
  });
}

function perplexityTable(found: Perplexity): string {
  const { nats, natsStandardError, perplexity, perplexityStandardError, bitsPerByte, tokens, bytes } = found;
  const lines = table(["nats", "±", "perplexity", "± ", "bits per byte", "tokens", "bytes"], [
    [
      ...[nats, natsStandardError].map((value) => value.toFixed(4)),
      ...[perplexity, perplexityStandardError].map((value) => value.toFixed(4)),
      bitsPerByte.toFixed(4),
      tokens,
      bytes,
    ],
  ]);
  return `${lines}\n(bits per byte: nats / log 2 over the bytes of the tokens that count)`;
}

/** Writes a file of base logits, and measures perplexity on the way. */
async function writeBase(
  model: LanguageModel,
  path: string,
  { chunks, bytes, ...running }: {
    readonly chunks: readonly Int32Array[];
    readonly bytes: number;
    readonly signal: AbortSignal;
    readonly onProgress: (done: number, total: number) => void;
  },
): Promise<Perplexity> {
  const nats: number[] = [];
  await writeFileAtomic(path, baseLogits(model, chunks, { ...running, onNats: (value) => nats.push(value) }));
  return perplexityOf(nats, bytes);
}

async function compared(
  model: LanguageModel,
  path: string,
  { signal, print, ...flags }: PerplexityFlags & Context,
): Promise<unknown> {
  using shown = reportedProgress({ title: "divergence", unit: "tokens" });
  const read = (start: number, bytes: number) => readFileAt(path, start, bytes);
  const { header, found } = await refusing(async () => {
    const header = await readHeader({ byteLength: await byteLengthOf(path), read });
    checkContext(header, flags.context, path);
    return { header, found: await divergenceFromBase(model, { header, read }, { signal, onProgress: shown.update }) };
  });
  shown.done();
  const { contextLength, chunks } = header;
  print(`protocol llama.cpp: ${protocols["llama.cpp"].describe({ contextLength, stride: contextLength })}`);
  print(`${chunks.length} chunks and base logits from ${path}\n\n${divergenceTable(found)}`);
  return { model: flags.model, klBase: path, protocol: "llama.cpp", contextLength, ...divergenceSummary(found) };
}

function checkContext({ contextLength }: BaseHeader, typed: number | undefined, path: string): void {
  if (typed === undefined || typed === contextLength) return;
  throw new UsageError(`--context is ${typed}, and the chunks of ${path} have ${contextLength} tokens`);
}

function divergenceTable(found: Divergence): string {
  const { percentiles, nats, baseNats, natsDifference: ratio } = found;
  const plain = (
    { mean, standardError }: Mean,
    name: string,
    digits = 5,
  ) => [name, mean.toFixed(digits), standardError.toFixed(digits)];
  const scaled = (value: Mean, factor: number): Mean => ({
    mean: factor * value.mean,
    standardError: factor * value.standardError,
  });
  const exp = ({ mean, standardError }: Mean): Mean => ({ mean: Math.exp(mean), standardError: Math.exp(mean) * standardError });
  const shares = Object.entries(percentiles).sort(([a], [b]) => Number(a) - Number(b));
  return table(["of a token", "value", "±"], [
    plain(found.divergence, "mean KL divergence from the base (nats)"),
    ...shares.map((
      [share, value],
    ) => [share === "1" ? "largest" : `${(100 * Number(share)).toFixed(1)} % are below`, value.toFixed(5), ""]),
    plain(scaled(found.sameTop, 100), "same likeliest token (%)", 3),
    plain(scaled(found.probabilityChange, 100), "change of the right token's p (points)", 3),
    ["root mean square of it (points)", (100 * found.rmsProbabilityChange).toFixed(3), ""],
    plain(exp(nats), "perplexity"),
    plain(exp(baseNats), "perplexity of the base"),
    plain(exp(ratio), "their ratio, paired by token"),
  ]);
}

function divergenceSummary({ percentiles, rmsProbabilityChange, tokens, ...means }: Divergence): Record<string, unknown> {
  const { divergence, sameTop, probabilityChange, nats, baseNats, natsDifference } = means;
  return {
    tokens,
    klDivergence: divergence.mean,
    klDivergenceStandardError: divergence.standardError,
    klPercentiles: percentiles,
    sameTop: sameTop.mean,
    sameTopStandardError: sameTop.standardError,
    probabilityChange: probabilityChange.mean,
    probabilityChangeStandardError: probabilityChange.standardError,
    rmsProbabilityChange,
    nats: nats.mean,
    perplexity: Math.exp(nats.mean),
    perplexityStandardError: Math.exp(nats.mean) * nats.standardError,
    basePerplexity: Math.exp(baseNats.mean),
    natsDifference: natsDifference.mean,
    natsDifferenceStandardError: natsDifference.standardError,
  };
}
