/**
 * The cache that all programs for the Hub share: `models--owner--name` with `blobs`, `refs`, and `snapshots` of links to blobs.
 *
 * @module
 */

import { dirname, relative } from "node:path";
import { makeFolder, readJsonFile } from "../io/files.ts";
import type { HubId } from "./id.ts";
import type { HubFile } from "./listing.ts";
import { isCommit } from "./listing.ts";

/** The part of the cache that belongs to one model or data set. */
export class RepositoryCache {
  readonly #folder: string;

  constructor(private readonly root: string, private readonly id: HubId) {
    this.#folder = `${root}/${this.#name}`;
  }

  get #name(): string {
    return [`${this.id.kind}s`, ...this.id.name.split("/")].join("--");
  }

  /** The commit that a revision stood for when it was last asked for. */
  async knownCommit(): Promise<string | undefined> {
    const { revision } = this.id;
    if (isCommit(revision)) return revision;
    const text = await Deno.readTextFile(`${this.#folder}/refs/${revision}`).catch(() => undefined);
    return isCommit(text?.trim()) ? text.trim() : undefined;
  }

  /** Remembers what the revision stands for. */
  async rememberCommit(commit: string): Promise<void> {
    if (isCommit(this.id.revision)) return;
    const path = `${this.#folder}/refs/${this.id.revision}`;
    await makeFolder(dirname(path));
    await Deno.writeTextFile(path, commit);
  }

  /** Folder of the files of a commit. */
  snapshot(commit: string): string {
    return `${this.#folder}/snapshots/${commit}`;
  }

  /** Where the content of a file lies, or will lie. */
  blob({ hash }: HubFile): string {
    return `${this.#folder}/blobs/${hash.hex}`;
  }

  /** Whether a commit's file is there, with all its bytes. */
  async holds(commit: string, { path, bytes }: HubFile): Promise<boolean> {
    return await Deno.stat(`${this.snapshot(commit)}/${path}`).then(({ size }) => size === bytes, () => false);
  }

  /** Runs `work` while no other process, ours or another library's, fetches the same content. */
  async locked(file: HubFile, work: () => Promise<void>): Promise<void> {
    const folder = `${this.root}/.locks/${this.#name}`;
    await makeFolder(folder);
    await makeFolder(`${this.#folder}/blobs`);
    using lock = await Deno.open(`${folder}/${file.hash.hex}.lock`, { write: true, create: true });
    await lock.lock(true).catch(() => {}); // not every file system has locks; the hash is checked all the same
    await work();
  }

  /** Puts a file whose content is there into the snapshot of a commit: as a link, or as a copy where there are no links. */
  async link(commit: string, file: HubFile): Promise<void> {
    const path = `${this.snapshot(commit)}/${file.path}`;
    await makeFolder(dirname(path));
    await Deno.remove(path).catch(() => {}); // a link that leads nowhere
    const target = relative(dirname(path), this.blob(file));
    await Deno.symlink(target, path).catch(() => Deno.copyFile(this.blob(file), path));
  }
}

/** Whether a folder holds all that a model is loaded from: its configuration, a tokenizer, and its weights, every shard of them. */
export async function isWholeModel(folder: string): Promise<boolean> {
  const has = (name: string) => Deno.stat(`${folder}/${name}`).then(({ isFile }) => isFile, () => false);
  const any = async (names: readonly string[]) => (await Promise.all(names.map(has))).includes(true);
  if (!await has("config.json") || !await any(["tokenizer.json", "tokenizer.model", "vocab.json"])) return false;
  if (await has("model.safetensors")) return true;
  const index = await readJsonFile(`${folder}/model.safetensors.index.json`).catch(() => undefined);
  const shards = index && shardsOf(index);
  return shards !== undefined && (await Promise.all(shards.map(has))).every(Boolean);
}

/** Names of the files that an index of weights lists. */
export function shardsOf(index: Readonly<Record<string, unknown>>): string[] {
  return [...new Set(Object.values(index.weight_map ?? {}).map(String))];
}
