/**
 * Serves the repository to pages: TypeScript as one bundled module, everything else, and `?as=file`, as it lies there.
 *
 * @module
 */

import { pageAssets } from "../../src/cli/page_assets.ts";

const root = new URL("../../", import.meta.url);

/** What pages load first: it finds for the tests what Node offers elsewhere. */
const html = `<!doctype html><meta charset="utf-8"><title>Hestia</title>
<script type="importmap">{ "imports": { "node:assert/strict": "/tests/browser/assert.ts" } }</script>`;

/** A module and all that it imports, for a page. Throws an error that says what cannot be bundled. */
async function bundled(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const args = ["bundle", "--quiet", "--platform", "browser", path];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: root }).output();
  if (!success) throw new Error(`Cannot bundle ${path}: ${new TextDecoder().decode(stderr)}`);
  return stdout;
}

async function content(path: string, asFile: boolean): Promise<Response> {
  if (path === "") return new Response(html, { headers: { "content-type": "text/html" } });
  if (path === "page_assets.json") return Response.json(await pageAssets());
  if (path.endsWith(".ts") && !asFile) {
    return new Response(await bundled(path), { headers: { "content-type": "text/javascript" } });
  }
  const url = new URL(path, root);
  return (await Deno.stat(url)).isDirectory ? Response.json([...Deno.readDirSync(url)]) : new Response(await Deno.readFile(url));
}

/** Serves on a free port of this machine. */
export function serve(): { readonly origin: string; close(): Promise<void> } {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    try {
      return await content(pathname.slice(1), searchParams.get("as") === "file");
    } catch (error) {
      return new Response((error as Error).message, { status: error instanceof Deno.errors.NotFound ? 404 : 500 });
    }
  });
  return { origin: `http://localhost:${server.addr.port}`, close: () => server.shutdown() };
}
