/**
 * Programs that only tests ask: each runs in a process of its own, under the configuration of `tests/peers`, whose packages are fetched then.
 *
 * @module
 */

/** What `tests/peers/NAME.ts` prints. Throws what it says where it fails. */
export async function askPeer(name: string, args: readonly string[] = []): Promise<Uint8Array<ArrayBuffer>> {
  const folder = new URL("../peers/", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", `--config=${folder}deno.json`, `${folder}${name}.ts`, ...args],
  }).output();
  if (!success) throw new Error(`tests/peers/${name}.ts failed: ${new TextDecoder().decode(stderr)}`);
  return stdout;
}
