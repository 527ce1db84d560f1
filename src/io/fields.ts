/**
 * What a reader knows of a file: a table with each field that it may meet, what that means, and which values are understood. What is not
 * in the table is refused by name, and so is a value that would be misunderstood.
 *
 * @module
 */

/** What a reader knows of one field, metadata key or tensor. */
export interface Field {
  /** What it says, in a few words. */
  readonly means: string;
  /** Why it may be passed over; absent for what is read. */
  readonly ignored?: string;
  /** The values that are understood, in words; any where absent. */
  readonly wanted?: string;
  /** Whether a value is one of them; `file` has the other fields. */
  readonly accepts?: (value: unknown, file: Readonly<Record<string, unknown>>) => boolean;
  /** What people can do about a value that is not; `wanted` says enough where absent. */
  readonly remedy?: string;
}

/** Fields by name; `*` in a name stands for any characters. */
export type FieldTable = Readonly<Record<string, Field>>;

/** How strictly a file is read. */
export interface ReadingOptions {
  /**
   * Go on where a file holds a field, key or tensor that is not known, with a warning for each; by default it is refused, since it may
   * change what the model computes.
   */
  readonly allowUnknown?: boolean;
  /** Is told each warning; `console.warn` by default. */
  readonly onWarning?: (message: string) => void;
}

/** The entry of a table for a name: that of the name itself, or else the first pattern that fits. */
export function fieldNamed(table: FieldTable, name: string): Field | undefined {
  if (Object.hasOwn(table, name)) return table[name];
  const pattern = Object.keys(table).find((key) => key.includes("*") && matches(key, name));
  return pattern === undefined ? undefined : table[pattern];
}

function matches(pattern: string, name: string): boolean {
  const text = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*");
  return new RegExp(`^${text}$`).test(name);
}

/**
 * Checks what a file holds against the table of its kind. A value of null stands for a field that is absent.
 *
 * @param action what cannot be done otherwise, such as `Cannot load "folder"`
 * @param what the kind of entry and of file, such as `field "NAME" of config.json` with NAME for its name
 * @throws RangeError that names the first entry which is not known, or whose value is not understood
 */
export function checkFields(
  file: Readonly<Record<string, unknown>>,
  table: FieldTable,
  { action, what, ...reading }: ReadingOptions & { readonly action: string; readonly what: string },
): void {
  for (const [name, value] of Object.entries(file)) {
    const entry = what.replace("NAME", name);
    const field = fieldNamed(table, name);
    if (!field) {
      refuseUnknown(`${action}: ${entry} is not known, got ${short(value)}`, reading);
    } else if (value !== null && value !== undefined && field.accepts && !field.accepts(value, file)) {
      const remedy = field.remedy ? `; ${field.remedy}` : "";
      throw new RangeError(`${action}: ${entry} is ${short(value)}, wanted ${field.wanted}${remedy}`);
    }
  }
}

/** Refuses what is not known, or warns of it where the caller goes on. `message` says what it is. */
export function refuseUnknown(message: string, { allowUnknown = false, onWarning = console.warn }: ReadingOptions): void {
  if (allowUnknown) return onWarning(`${message}: it is passed over`);
  throw new RangeError(
    `${message}; remove it if it does not change what the model computes, or allow it (allowUnknown, --allow-unknown)`,
  );
}

/** A value on one line of moderate length. */
export function short(value: unknown): string {
  const isSaid = typeof value !== "bigint" && !(typeof value === "number" && !Number.isFinite(value)); // what JSON cannot say
  const text = isSaid ? JSON.stringify(value) ?? String(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** A table as Markdown, for people. */
export function fieldsMarkdown(table: FieldTable): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = Object.entries(table).map(([name, { means, ignored, wanted }]) =>
    `| \`${cell(name)}\` | ${cell(means)} | ${cell(ignored ? `ignored: ${ignored}` : wanted ?? "any")} |`
  );
  return ["| name | means | values |", "| --- | --- | --- |", ...rows].join("\n");
}
