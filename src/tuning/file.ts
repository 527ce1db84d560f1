/**
 * What was found out about adapters, in a small file in the user's cache folder. It is only read and written where that needs no
 * question: in a browser, or without permission, nothing is remembered from one process to the next.
 *
 * @module
 */

import { isJsonObject } from "../core/json.ts";

/** The name of the fastest kernel for each class of calls, by adapter. */
type Content = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Whether this platform grants something without asking. */
function isGranted(permission: { name: "env"; variable: string } | { name: "read" | "write"; path: string }): boolean {
  return typeof Deno !== "undefined" && Deno.permissions.querySync(permission).state === "granted";
}

/** A variable of the environment; `undefined` where there is none, or it must not be read. */
export function environment(variable: string): string | undefined {
  return isGranted({ name: "env", variable }) ? Deno.env.get(variable) : undefined;
}

/** Where choices are remembered; `undefined` where the platform has no place, or does not say which. */
export function tuningFile(): string | undefined {
  const folder = cacheFolder();
  return folder === undefined ? undefined : `${folder}/hestia/tuning.json`;
}

function cacheFolder(): string | undefined {
  if (typeof Deno === "undefined") return undefined;
  if (Deno.build.os === "windows") return environment("LOCALAPPDATA");
  const home = environment("HOME");
  const usual = home && (Deno.build.os === "darwin" ? `${home}/Library/Caches` : `${home}/.cache`);
  return environment("XDG_CACHE_HOME") || usual || undefined;
}

/** What is remembered of an adapter. */
export async function readChoices(adapter: string): Promise<Readonly<Record<string, string>>> {
  return (await readContent())[adapter] ?? {};
}

/** Adds to what is remembered of an adapter. */
export async function rememberChoices(adapter: string, choices: Readonly<Record<string, string>>): Promise<void> {
  const path = tuningFile();
  if (path === undefined || Object.keys(choices).length === 0 || !isGranted({ name: "write", path })) return;
  const content = await readContent(); // other processes may have written since
  const text = JSON.stringify({ ...content, [adapter]: { ...content[adapter], ...choices } }, undefined, 2);
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(temporary, `${text}\n`);
    await Deno.rename(temporary, path); // whole or not at all
  } catch {
    await Deno.remove(temporary).catch(() => {}); // a folder that cannot be written to: this process remembers, the next one finds out anew
  }
}

async function readContent(): Promise<Content> {
  const path = tuningFile();
  if (path === undefined || !isGranted({ name: "read", path })) return {};
  try {
    return checked(JSON.parse(await Deno.readTextFile(path)));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
      console.warn(`warning: what "${path}" remembers of kernels is not used (${(error as Error).message}); it may be deleted`);
    }
    return {};
  }
}

function checked(content: unknown): Content {
  const isChoices = (value: unknown) => isJsonObject(value) && Object.values(value).every((name) => typeof name === "string");
  if (!isJsonObject(content) || !Object.values(content).every(isChoices)) {
    throw new Error("wanted names of kernels by class, by adapter");
  }
  return content as Content;
}
