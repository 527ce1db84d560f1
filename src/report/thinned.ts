/**
 * Records of a run as columns, few enough to be drawn smoothly: what is left out is never a peak.
 *
 * @module
 */

/** Values by field, one for each of the steps; null where a record has none. */
export type Columns = { readonly step: number[] } & { readonly [field: string]: (number | string | null)[] };

/** Statistics of tensors by name and field, one for each of the steps. */
export interface TensorColumns {
  readonly step: number[];
  readonly tensors: Readonly<Record<string, Record<string, unknown[]>>>;
}

/** A record as files hold it. */
type Row = Readonly<Record<string, unknown>> & { readonly step: number };

/**
 * At most about `limit` rows: the first, the last, and of each piece between them those where `field` is smallest and largest. Rows are
 * kept as they are.
 */
export function thinned<R extends Row>(rows: readonly R[], limit: number, field?: keyof R): R[] {
  if (rows.length <= limit) return [...rows];
  const pieces = Math.max(1, Math.floor((limit - 2) / (field === undefined ? 1 : 2)));
  const kept = new Set([0, rows.length - 1]);
  for (let piece = 0; piece < pieces; piece++) {
    const from = 1 + Math.floor(piece * (rows.length - 2) / pieces);
    const to = 1 + Math.floor((piece + 1) * (rows.length - 2) / pieces);
    let [lowest, highest] = [from, field === undefined ? from : from];
    for (let at = from; at < to && field !== undefined; at++) {
      if ((rows[at][field] as number) < (rows[lowest][field] as number)) lowest = at;
      if ((rows[at][field] as number) > (rows[highest][field] as number)) highest = at;
    }
    kept.add(lowest).add(highest);
  }
  return [...kept].sort((a, b) => a - b).map((at) => rows[at]);
}

/** Rows as columns. */
export function columnsOf(rows: readonly Row[]): Columns {
  const fields = [...new Set(rows.flatMap(Object.keys))].filter((field) => field !== "phase");
  return Object.fromEntries(fields.map((field) => [field, rows.map((row) => row[field] ?? null)])) as unknown as Columns;
}

/** Statistics as columns, numbers to five digits. */
export function tensorColumnsOf(rows: readonly (Row & { readonly tensors: Readonly<Record<string, object>> })[]): TensorColumns {
  const names = [...new Set(rows.flatMap(({ tensors }) => Object.keys(tensors)))];
  const columns = names.map((name) => {
    const own = rows.map(({ tensors }) => (tensors[name] ?? {}) as Record<string, unknown>);
    const fields = [...new Set(own.flatMap(Object.keys))];
    return [name, Object.fromEntries(fields.map((field) => [field, own.map((each) => shortened(each[field]))]))] as const;
  });
  return { step: rows.map(({ step }) => step), tensors: Object.fromEntries(columns) };
}

function shortened(value: unknown): unknown {
  if (typeof value === "number") return Number(value.toPrecision(5));
  return Array.isArray(value) ? value.map(shortened) : value ?? null;
}
