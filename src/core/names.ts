/**
 * Names of tensors that belong to another one: `owner#part`, such as the learned step of a weight's quantizer.
 *
 * @module
 */

const separator = "#";

/** Name of a part of `owner`. */
export function partName(owner: string, part: string): string {
  return `${owner}${separator}${part}`;
}

/** Whose part a name is; undefined for a name that stands for itself. */
export function ownerOf(name: string): string | undefined {
  const at = name.lastIndexOf(separator);
  return at < 0 ? undefined : name.slice(0, at);
}

/** The parts of `owner` in a record, by their own names; undefined where there are none. */
export function partsOf<T>(record: Readonly<Record<string, T>>, owner: string): Record<string, T> | undefined {
  const prefix = partName(owner, "");
  const parts = Object.entries(record).filter(([name]) => name.startsWith(prefix));
  return parts.length === 0 ? undefined : Object.fromEntries(parts.map(([name, value]) => [name.slice(prefix.length), value]));
}
