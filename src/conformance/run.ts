/**
 * Runs recorded cases and sums up.
 *
 * @module
 */

import type { Case } from "./case.ts";
import { compare, type Comparison } from "./compare.ts";
import { type Effort, type Handler, operations, pendingOperations } from "./operations.ts";

/** What became of one case. */
export interface CaseResult {
  readonly name: string;
  readonly op: string;
  readonly verdict: "passed" | "failed" | "skipped";
  readonly comparisons: readonly Comparison[];
  /** Why it failed or was skipped. */
  readonly reason?: string;
  /** Recorded outputs that nothing was compared with. */
  readonly uncompared: readonly string[];
}

/** What became of the cases of one operation. */
export interface GroupSummary {
  cases: number;
  failed: number;
  skipped: number;
  /** Largest relative error of all its outputs; null where nothing was compared, or an error is not a number. */
  worstError: number | null;
  /** Largest ratio of an error to its tolerance. */
  worstRatio: number | null;
}

/** The last line of the command. */
export interface Summary {
  readonly cases: number;
  readonly failed: number;
  readonly skipped: number;
  readonly groups: Readonly<Record<string, GroupSummary>>;
  /** Reasons of skipped cases, each with the number of cases. */
  readonly skippedBecause: Readonly<Record<string, number>>;
  /** Recorded outputs that no comparison covers, by operation. */
  readonly uncompared: Readonly<Record<string, readonly string[]>>;
  /** Recorded outputs that were compared in part, with the part, by operation. */
  readonly partly: Readonly<Record<string, readonly string[]>>;
}

/** Outputs that are no results, but tell how exact others are. */
const aboutRecord = /^float32_torch_/;

/** Runs one case. Errors become a failed verdict. `float32` tells whether tensors are computed in float32. */
export async function runCase(
  recorded: Case,
  { float32, effort = "usual" }: { readonly float32: boolean; readonly effort?: Effort },
): Promise<CaseResult> {
  const { name, op } = recorded;
  const ended = (verdict: CaseResult["verdict"], reason?: string): CaseResult => (
    { name, op, verdict, reason, comparisons: [], uncompared: [] }
  );
  if (Object.hasOwn(pendingOperations, op)) return ended("skipped", pendingOperations[op]);
  if (!Object.hasOwn(operations, op)) return ended("failed", `unknown op "${op}"`);
  const handler: Handler = operations[op as keyof typeof operations];
  try {
    const computed = await handler(recorded, { float32, effort });
    const comparisons = await compare(recorded, computed, { float32 });
    const covered = new Set(comparisons.map(({ role }) => role));
    const uncompared = recorded.outputs.filter((role) => !covered.has(role) && !aboutRecord.test(role));
    const bad = comparisons.filter(({ error, tolerance }) => !(error <= tolerance));
    const reason = bad.map(({ role, error, tolerance }) => `${role}: ${error.toExponential(1)} > ${tolerance.toExponential(1)}`);
    return { name, op, verdict: bad.length > 0 ? "failed" : "passed", reason: reason.join(", "), comparisons, uncompared };
  } catch (error) {
    return ended("failed", (error as Error).message);
  } finally {
    recorded.dispose();
  }
}

/** Sums up, operation by operation, in the order of the results. */
export function summarize(results: readonly CaseResult[]): Summary {
  const groups: Record<string, GroupSummary> = {};
  const skippedBecause: Record<string, number> = {};
  const [uncompared, partly]: Record<string, string[]>[] = [{}, {}];
  for (const result of results) {
    const group = groups[result.op] ??= { cases: 0, failed: 0, skipped: 0, worstError: null, worstRatio: null };
    group.cases++;
    if (result.verdict === "failed") group.failed++;
    if (result.verdict === "skipped") {
      group.skipped++;
      skippedBecause[result.reason!] = (skippedBecause[result.reason!] ?? 0) + 1;
    }
    for (const { role, error, tolerance, partial } of result.comparisons) {
      if (partial) partly[result.op] = [...new Set([...partly[result.op] ?? [], `${role} (${partial})`])];
      group.worstError = Math.max(group.worstError ?? 0, error);
      group.worstRatio = Math.max(group.worstRatio ?? 0, error / tolerance);
    }
    if (result.uncompared.length > 0) {
      uncompared[result.op] = [...new Set([...uncompared[result.op] ?? [], ...result.uncompared])];
    }
  }
  const total = (verdict: CaseResult["verdict"]) => results.filter((result) => result.verdict === verdict).length;
  return {
    cases: results.length,
    failed: total("failed"),
    skipped: total("skipped"),
    groups,
    skippedBecause,
    uncompared,
    partly,
  };
}
