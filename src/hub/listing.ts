/**
 * What a model or a data set on the Hub consists of, asked through `@huggingface/hub`.
 *
 * @module
 */

import type { HubId } from "./id.ts";
import { HubError, patientFetch, type Requests } from "./patient_fetch.ts";

/** A file on the Hub. */
export interface HubFile {
  /** With forward slashes. */
  readonly path: string;
  readonly bytes: number;
  /** What it is known by in the cache, and what its content is checked by. */
  readonly hash: { readonly kind: "sha256" | "git"; readonly hex: string };
}

/** The commit that a revision stands for now. */
export async function commitOf({ kind, name, revision }: HubId, requests: Requests): Promise<string> {
  if (isCommit(revision)) return revision;
  const { modelInfo, datasetInfo } = await import("@huggingface/hub");
  const asked = { name, revision, additionalFields: ["sha" as const], ...connection(requests) };
  const { sha } = kind === "model" ? await modelInfo(asked) : await datasetInfo(asked);
  if (isCommit(sha)) return sha;
  throw new HubError(`${requests.settings.endpoint} names no commit for the revision "${revision}"`);
}

/** Whether a revision is the hash of a commit, which always stands for the same files. */
export const isCommit = (revision: unknown): revision is string =>
  typeof revision === "string" && /^[0-9a-f]{40}$/.test(revision);

/** The files of a commit, in a folder or in all. Throws where one has a path that leads out of its folder, or no hash. */
export async function filesOf(
  { kind, name }: HubId,
  { commit, folder, recursive, ...requests }: Requests & { commit: string; folder?: string; recursive: boolean },
): Promise<HubFile[]> {
  const { listFiles } = await import("@huggingface/hub");
  const files: HubFile[] = [];
  const where = folder ? { path: folder } : {};
  for await (
    const { type, path, size, oid, lfs } of listFiles({
      repo: { type: kind, name },
      revision: commit,
      recursive,
      ...where,
      ...connection(requests),
    })
  ) {
    if (type !== "file") continue;
    const hex = lfs?.oid ?? oid ?? "";
    if (!isPlain(path) || !(lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hex)) {
      throw new HubError(`${requests.settings.endpoint} lists a file that cannot be: "${path}", ${hex || "without a hash"}`);
    }
    files.push({ path, bytes: lfs?.size ?? size, hash: { kind: lfs ? "sha256" : "git", hex } });
  }
  return files;
}

/** Whether a path stays in its folder. */
function isPlain(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== "..") && !/[\\:\0]/.test(path);
}

/** The package asks by our requests, so that it waits, goes on and tells mistakes as they do. */
function connection(requests: Requests): { readonly hubUrl: string; readonly fetch: typeof fetch } {
  return {
    hubUrl: requests.settings.endpoint,
    fetch: (url, init) => patientFetch(url instanceof Request ? url.url : String(url), init ?? {}, requests),
  };
}
