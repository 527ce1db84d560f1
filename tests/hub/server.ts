/**
 * A Hub on this machine: it speaks the same protocol for the repositories that it is given, and fails as it is told.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** A file of a repository. Large files are known by their SHA-256, others by git's hash. */
export interface ServedFile {
  readonly content: Uint8Array;
  readonly large?: boolean;
}

/** What happens to a request before it is answered; undefined lets it be. */
export type Trouble = (path: string, request: Request, attempt: number) => Response | Promise<Response> | undefined;

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A server of one repository, by files and their paths. Large files are redirected to another server, as to the network of a provider. */
export class HubServer implements AsyncDisposable {
  /** "GET /path" of each request, in order. */
  readonly asked: string[] = [];
  /** Authorization that the other server has seen. */
  readonly leaked: (string | null)[] = [];
  trouble: Trouble = () => undefined;
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #far: Deno.HttpServer<Deno.NetAddr>;
  readonly #attempts = new Map<string, number>();

  constructor(readonly name: string, readonly files: Record<string, ServedFile>, readonly options: { token?: string } = {}) {
    const quiet = { port: 0, hostname: "127.0.0.1", onListen: () => {} };
    this.#hub = Deno.serve(quiet, (request) => this.#answer(request));
    this.#far = Deno.serve(quiet, (request) => {
      this.leaked.push(request.headers.get("authorization"));
      return this.#troubled(new URL(request.url).pathname, request) ??
        content(request, this.#file(request.url.split("/far/")[1])!);
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#hub.shutdown(), this.#far.shutdown()]);
  }

  #file(path: string): ServedFile | undefined {
    return this.files[decodeURIComponent(path)];
  }

  #troubled(path: string, request: Request): Response | Promise<Response> | undefined {
    const attempt = (this.#attempts.get(path) ?? 0) + 1;
    this.#attempts.set(path, attempt);
    return this.trouble(path, request, attempt);
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    this.asked.push(`${request.method} ${pathname}`);
    const trouble = await this.#troubled(pathname, request);
    if (trouble) return trouble;
    const { token } = this.options;
    if (token && request.headers.get("authorization") !== `Bearer ${token}`) {
      return error(401, request.headers.has("authorization") ? undefined : "RepoNotFound");
    }
    const [, api, name, rest] = pathname.match(/^(\/api\/(?:models|datasets))?(?:\/datasets)?\/([^/]+\/[^/]+)\/(.*)$/) ?? [];
    if (name !== this.name) return error(404, "RepoNotFound");
    if (api && rest.startsWith("revision/")) {
      if (!/^revision\/(main|v1|HEAD)$/.test(rest)) return error(404, "RevisionNotFound");
      return Response.json({
        _id: "1",
        id: name,
        sha: COMMIT,
        private: false,
        downloads: 0,
        likes: 0,
        lastModified: "2026-01-01",
      });
    }
    if (api && rest.startsWith("tree/")) return Response.json(this.#tree(rest.slice(`tree/${COMMIT}/`.length)));
    const path = rest.slice(`resolve/${COMMIT}/`.length);
    const file = this.#file(path);
    if (!file) return error(404, "EntryNotFound");
    if (!file.large) return content(request, file);
    return new Response(null, { status: 302, headers: { location: `http://127.0.0.1:${this.#far.addr.port}/far/${path}` } });
  }

  #tree(folder: string): unknown[] {
    return Object.entries(this.files).filter(([path]) => path.startsWith(folder)).map(([path, { content, large }]) => ({
      type: "file",
      path,
      size: content.length,
      oid: hash("sha1", new TextEncoder().encode(`blob ${content.length}\0`), content),
      ...(large ? { lfs: { oid: hash("sha256", content), size: content.length, pointerSize: 130 } } : {}),
    }));
  }
}

/** A refusal as the Hub sends it. */
export function error(status: number, code?: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error: "no" }, { status, headers: { ...headers, ...(code ? { "x-error-code": code } : {}) } });
}

export function hash(kind: "sha1" | "sha256", ...parts: Uint8Array[]): string {
  const digest = createHash(kind);
  parts.forEach((part) => digest.update(part));
  return digest.digest("hex");
}

/** The file, or the part of it that was asked for. */
export function content(request: Request, { content }: ServedFile): Response {
  const from = request.headers.get("range")?.match(/^bytes=(\d+)-$/)?.[1];
  const bytes = content as Uint8Array<ArrayBuffer>;
  if (from === undefined) return new Response(bytes);
  const start = Number(from);
  if (start >= bytes.length) return new Response(null, { status: 416 });
  const headers = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
  return new Response(bytes.subarray(start), { status: 206, headers });
}

/** So many bytes of an answer, which promises all of them, then the connection ends. */
export async function cut(answer: Response, bytes: number): Promise<Response> {
  const all = new Uint8Array(await answer.arrayBuffer());
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (bytes > 0) controller.enqueue(all.subarray(0, bytes));
      controller.close();
    },
  });
  const headers = new Headers(answer.headers);
  headers.set("content-length", String(all.length));
  return new Response(body, { status: answer.status, headers });
}
