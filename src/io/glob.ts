/**
 * Files by name: folders with all that is in them, and patterns as shells expand them.
 *
 * @module
 */

import { isFolder, needFiles } from "./files.ts";

/** Whether a path is a pattern: it has `*`, `?`, `[…]` or `{…}`. */
export function isPattern(path: string): boolean {
  return /[*?[\]{}]/.test(path);
}

/**
 * All texts that the braces of a pattern stand for: `a.{txt,md}` is `a.txt` and `a.md`. Braces may stand within one another; those without
 * a comma, or without a partner, mean themselves.
 */
export function expandBraces(pattern: string): string[] {
  for (let open = pattern.indexOf("{"); open >= 0; open = pattern.indexOf("{", open + 1)) {
    const commas: number[] = [];
    let depth = 0;
    for (let at = open; at < pattern.length; at++) {
      if (pattern[at] === "{") depth++;
      else if (pattern[at] === "," && depth === 1) commas.push(at);
      else if (pattern[at] === "}" && --depth === 0) {
        if (commas.length === 0) break;
        const ends = [open, ...commas, at];
        const choices = ends.slice(1).map((end, index) => pattern.slice(ends[index] + 1, end));
        return choices.flatMap((choice) => expandBraces(pattern.slice(0, open) + choice + pattern.slice(at + 1)));
      }
    }
  }
  return [pattern];
}

/** One name of a pattern without slashes and braces as a regular expression. As in shells, `*` passes over names that begin with a dot. */
function nameMatcher(name: string): RegExp {
  const source = name.replace(/\[([!^]?)([^\]]+)\]|[*?]|[.+^${}()|[\]\\]/g, (part, not: string | undefined, set: string) => {
    if (set !== undefined) return `[${not ? "^" : ""}${set.replace(/[\\\]^]/g, "\\$&")}]`;
    return part === "*" ? "[^/]*" : part === "?" ? "[^/]" : `\\${part}`;
  });
  return new RegExp(`^${/^[*?[]/.test(name) ? "(?!\\.)" : ""}${source}$`, "u");
}

/**
 * Paths of the files that a pattern names, in the order of their names. `*`, `?` and `[…]` stand for parts of one name, `**` for any
 * number of folders, `{a,b}` for a choice.
 *
 * @throws Error where a folder cannot be read
 */
export async function filesMatching(pattern: string): Promise<string[]> {
  needFiles(`Cannot look for "${pattern}"`);
  const found = new Set<string>();
  for (const plain of expandBraces(pattern)) {
    const parts = plain.split(/[/\\]+/);
    const root = parts[0] === "" ? "/" : "";
    for await (const path of matching(root, root ? parts.slice(1) : parts)) found.add(path);
  }
  return [...found].sort();
}

/** Paths of all files in a folder and in those below it, in the order of their names; names that begin with a dot are passed over. */
export async function filesBelow(folder: string): Promise<string[]> {
  needFiles(`Cannot look into the folder "${folder}"`);
  const found: string[] = [];
  for await (const path of matching(folder.replace(/[/\\]*$/, "/"), ["**", "*"])) found.push(path);
  return found.sort();
}

async function* matching(base: string, [part, ...rest]: readonly string[]): AsyncGenerator<string> {
  if (part === undefined) return;
  if (part === "") return yield* matching(base, rest);
  if (part === "**") return yield* matchingBelow(base, rest.length > 0 ? rest : ["*"]);
  if (!isPattern(part)) { // it need not be looked for, and its folder may be one that nobody may list
    if (rest.length > 0) yield* matching(`${base}${part}/`, rest);
    else if (await isFolder(base + part) === false) yield base + part;
    return;
  }
  const matches = nameMatcher(part);
  for (const { name, isFile, ...entry } of await entriesOf(base)) {
    if (!matches.test(name)) continue;
    if (rest.length === 0 && isFile) yield base + name;
    else if (rest.length > 0 && entry.isFolder) yield* matching(`${base}${name}/`, rest);
  }
}

/** What matches in a folder and in all below it. Links to folders are not followed, since they may lead round in a circle. */
async function* matchingBelow(base: string, parts: readonly string[]): AsyncGenerator<string> {
  yield* matching(base, parts);
  for (const { name, isFolder, isLink } of await entriesOf(base)) {
    if (isFolder && !isLink && !name.startsWith(".")) yield* matchingBelow(`${base}${name}/`, parts);
  }
}

interface Entry {
  readonly name: string;
  readonly isFile: boolean;
  readonly isFolder: boolean;
  readonly isLink: boolean;
}

/** What is in a folder; nothing where it is missing. Links are what they lead to. */
async function entriesOf(folder: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  try {
    for await (const { name, isFile, isDirectory, isSymlink: isLink } of Deno.readDir(folder || ".")) {
      const target = isLink ? await isFolder(folder + name) : undefined;
      entries.push({ name, isFile: isFile || target === false, isFolder: isDirectory || target === true, isLink });
    }
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return [];
    throw new Error(`Cannot look into the folder "${folder || "."}": ${(cause as Error).message}`, { cause });
  }
  return entries;
}
