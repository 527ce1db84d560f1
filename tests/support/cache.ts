/**
 * A cache folder of one's own.
 *
 * @module
 */

/**
 * Runs with an empty cache folder, and gives back what was warned of. Devices should be open before: drivers keep their shaders in the
 * same folder.
 */
export async function withCache(work: (folder: string) => Promise<void>): Promise<string[]> {
  const [folder, old, warn] = [await Deno.makeTempDir(), Deno.env.get("XDG_CACHE_HOME"), console.warn];
  const warnings: string[] = [];
  console.warn = (text: string) => void warnings.push(text);
  Deno.env.set("XDG_CACHE_HOME", folder);
  try {
    await work(folder);
  } finally {
    console.warn = warn;
    if (old === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", old);
    await Deno.remove(folder, { recursive: true });
  }
  return warnings;
}
