/**
 * Models and data sets by their names on the Hub: what is missing is fetched into the cache that all programs share.
 *
 * @module
 */

import { matchesGlob } from "node:path";
import { readJsonFile } from "../io/files.ts";
import { isWholeModel, RepositoryCache, shardsOf } from "./cache.ts";
import { download } from "./download.ts";
import { datasetId, type HubId, modelId } from "./id.ts";
import { commitOf, filesOf, type HubFile } from "./listing.ts";
import { HubError, type Requests, UnreachableError } from "./patient_fetch.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

/** How far fetching is: of the files that are fetched together. A model's small files come first, then its weights. */
export interface HubProgress {
  readonly bytes: number;
  readonly of: number;
  readonly files: number;
}

/** How something is found on the Hub. */
export interface HubOptions {
  /** A branch, a tag or a commit, where the name has none; "main" if absent. */
  readonly revision?: string;
  /** Called as bytes arrive, with those that an earlier call had fetched. Not called where nothing is missing. */
  readonly onProgress?: (progress: HubProgress) => void;
  /** Takes a line for people: that the Hub asks to wait, or that an older copy is used. */
  readonly onMessage?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Folder of the cache; that of the environment if absent (`HF_HUB_CACHE`, `HF_HOME`). */
  readonly cacheFolder?: string;
  /** Pause before a failed request is made again, in milliseconds; 1000 if absent. Each further one is twice as long. */
  readonly pauseMs?: number;
}

/** How a data set is found. */
export interface DatasetOptions extends HubOptions {
  /** The files wanted, as a path with `*`, `**` and `{a,b}`; all that can be read if absent. */
  readonly include?: string;
}

/** Files at the top of a model that are needed, besides its weights. */
const MODEL_FILES = new Set([
  ...["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json"],
  ...["merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json"],
]);

const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Files of text that can be read. */
const READABLE = "**/*.{parquet,jsonl,txt,md,jsonl.gz,jsonl.zst}";

/** More than this is not fetched unless somebody has said which files. */
const MOST_BYTES_UNASKED = 50 * 2 ** 30;

/** Files that are fetched side by side. */
const SIDE_BY_SIDE = 4;

/**
 * Folder of a model: `spec` itself where something lies there; otherwise the model of that name on the Hub (`owner/name`, perhaps with
 * `@revision`), of which the files are fetched that are needed and missing.
 *
 * @throws {Error} Where there is neither; it says both.
 *
 * @example
 * ```ts ignore
 * const folder = await resolveModel("HuggingFaceTB/SmolLM2-135M", { onProgress: ({ bytes, of }) => console.log(bytes / of) });
 * ```
 */
export async function resolveModel(spec: string, options: HubOptions = {}): Promise<string> {
  if (await Deno.stat(spec).then(() => true, () => false)) return spec;
  const id = modelId(spec, options.revision);
  if (!id) throw new Error(`Cannot open the model ${spec}: no such file or folder`);
  return await explained(`Cannot open the model ${spec}: no such file or folder, and on the Hub`, async () => {
    const repository = new Repository(id, options);
    const { commit, whole } = await repository.commit(isWholeModel);
    if (!whole) await repository.fetchModel(commit);
    return repository.cache.snapshot(commit);
  });
}

/**
 * Files of a data set on the Hub, `dataset:owner/name`, perhaps with `@revision`, perhaps with a path of files after it: those that are
 * missing are fetched. In alphabetical order.
 *
 * @throws {Error} Where there is none, no file matches, or nobody has said which of very many are wanted.
 */
export async function resolveDataset(spec: string, options: DatasetOptions = {}): Promise<string[]> {
  const id = datasetId(spec, options.revision);
  if (!id) {
    throw new Error(`Cannot read the name "${spec}": wanted dataset:owner/name, such as dataset:HuggingFaceFW/fineweb-edu`);
  }
  const wanted = options.include ?? id.files;
  return await explained(`Cannot open ${spec}`, async () => {
    const repository = new Repository(id, options);
    const { commit, whole } = await repository.commit(async (folder) => (await matchingFiles(folder, wanted)).length > 0);
    const folder = repository.cache.snapshot(commit);
    if (whole) return await matchingFiles(folder, wanted);
    const paths = await repository.fetchDataset(commit, wanted);
    return paths.map((path) => `${folder}/${path}`).sort();
  });
}

/** A model or a data set, as the Hub and the cache have it. */
class Repository {
  readonly settings: HubSettings;
  readonly cache: RepositoryCache;
  readonly #requests: Requests;

  constructor(private readonly id: HubId, private readonly options: HubOptions) {
    this.settings = hubSettings();
    this.cache = new RepositoryCache(options.cacheFolder ?? this.settings.cacheFolder, id);
    const { signal, onMessage, pauseMs = 1000 } = options;
    this.#requests = { settings: this.settings, id, signal, onMessage, pauseMs };
  }

  /**
   * The commit to use, and whether the cache has all of it as far as `isWhole` can tell. A copy that is known to be whole needs no network
   * where it is that of a commit, the Hub cannot be reached, or nothing may be fetched.
   */
  async commit(isWhole: (folder: string) => Promise<boolean>): Promise<{ commit: string; whole: boolean }> {
    const known = await this.cache.knownCommit();
    const usable = known !== undefined && await isWhole(this.cache.snapshot(known));
    if (this.settings.offline) {
      if (usable) return { commit: known, whole: true };
      throw new HubError(
        `HF_HUB_OFFLINE forbids to fetch it, and the cache holds no whole copy of ${this.id.name}@${this.id.revision}`,
      );
    }
    try {
      const commit = await commitOf(this.id, this.#requests);
      await this.cache.rememberCommit(commit);
      // A data set may have more files than are there, so its files are listed; those of a commit never change.
      return { commit, whole: usable && commit === known && this.id.kind === "model" };
    } catch (error) {
      if (!usable || !(error instanceof UnreachableError)) throw error;
      this.options.onMessage?.(`${error.message}: using the copy of ${this.id.name} that is in the cache`);
      return { commit: known, whole: true };
    }
  }

  async fetchModel(commit: string): Promise<void> {
    const files = await filesOf(this.id, { commit, recursive: false, ...this.#requests });
    const named = new Map(files.map((file) => [file.path, file]));
    const weights = named.get(WEIGHTS) ?? named.get(INDEX);
    if (!named.has("config.json") || !weights) {
      const kinds = files.map(({ path }) => path).filter((path) => /\.(bin|gguf|pth|h5)$/.test(path)).slice(0, 3).join(", ");
      const missing = named.has("config.json") ? WEIGHTS : "config.json";
      throw new HubError(`it has no ${missing}${kinds === "" ? "" : `, only ${kinds}`}: wanted a model in safetensors`);
    }
    // The weights come last: where they are, all is there.
    await this.fetchFiles(
      commit,
      files.filter((file) => MODEL_FILES.has(file.path) || (file === weights && file.path === INDEX)),
    );
    if (weights.path === WEIGHTS) return await this.fetchFiles(commit, [weights]);
    const shards = shardsOf(await readJsonFile(`${this.cache.snapshot(commit)}/${INDEX}`)).map((name) => {
      const shard = named.get(name);
      if (shard) return shard;
      throw new HubError(`its index names ${name}, which is not there`);
    });
    await this.fetchFiles(commit, shards);
  }

  async fetchDataset(commit: string, wanted: string | undefined): Promise<string[]> {
    const folder = wanted?.match(/^([^*?{[]*)\//)?.[1];
    const all = await filesOf(this.id, { commit, folder, recursive: true, ...this.#requests });
    const files = all.filter(({ path }) => matchesGlob(path, wanted ?? READABLE) || path === wanted);
    if (files.length === 0) {
      throw new HubError(`no file of it is ${wanted ?? "text that can be read (parquet, jsonl, txt, md)"}`);
    }
    const bytes = sum(files.map(({ bytes }) => bytes));
    if (wanted === undefined && bytes > MOST_BYTES_UNASKED) {
      const folders = [...new Set(files.map(({ path }) => path.split("/")[0]))].slice(0, 5).join(", ");
      throw new HubError(
        `it has ${files.length} files of ${Math.round(bytes / 2 ** 30)} GiB: say which, as in dataset:${this.id.name}/${
          files[0].path.replace(/[^/]+$/, `*${files[0].path.match(/(\.[a-z]+)+$/)?.[0] ?? ""}`)
        } (there are ${folders})`,
      );
    }
    await this.fetchFiles(commit, files);
    return files.map(({ path }) => path);
  }

  /** Fetches those that are missing, a few side by side. */
  async fetchFiles(commit: string, files: readonly HubFile[]): Promise<void> {
    const held = await Promise.all(files.map((file) => this.cache.holds(commit, file)));
    const missing = files.filter((_, index) => !held[index]);
    const of = sum(missing.map(({ bytes }) => bytes));
    let bytes = 0;
    const failed = new AbortController();
    const signal = AbortSignal.any([failed.signal, ...(this.options.signal ? [this.options.signal] : [])]);
    const onBytes = (more: number): void => {
      bytes += more;
      this.options.onProgress?.({ bytes, of, files: missing.length });
    };
    const queue = missing.values();
    const worker = async (): Promise<void> => {
      for (const file of queue) await this.#fetchFile(commit, file, { signal, onBytes });
    };
    const work = Array.from(
      { length: SIDE_BY_SIDE },
      () => worker().catch((error) => (failed.abort(error), Promise.reject(error))),
    );
    await Promise.allSettled(work);
    await Promise.all(work);
  }

  async #fetchFile(
    commit: string,
    file: HubFile,
    { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (bytes: number) => void },
  ): Promise<void> {
    const base = `${this.settings.endpoint}/${this.id.kind === "dataset" ? "datasets/" : ""}${this.id.name}/resolve/${commit}`;
    const url = `${base}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
    const blob = this.cache.blob(file);
    await this.cache.locked(file, async () => {
      const there = await Deno.stat(blob).then(({ size }) => size === file.bytes, () => false);
      if (there) onBytes(file.bytes);
      else await download(file, blob, { ...this.#requests, signal, url, onBytes });
    });
    await this.cache.link(commit, file);
  }
}

/** Files under a folder that match, with the folder, in alphabetical order. */
async function matchingFiles(folder: string, wanted: string | undefined): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${folder}/${path}`)) {
      const inner = path === "" ? name : `${path}/${name}`;
      if (isDirectory) await walk(inner);
      else if (matchesGlob(inner, wanted ?? READABLE) || inner === wanted) found.push(`${folder}/${inner}`);
    }
  };
  await walk("").catch(() => {}); // there may be no such folder
  return found.sort();
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** The result of `work`; errors of the Hub and of files are told in one line that begins with `what`. */
async function explained<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const isOurs = cause instanceof HubError;
    const isFile = cause instanceof Error && "code" in cause && typeof cause.code === "string" && /^E[A-Z]+$/.test(cause.code);
    if (!isOurs && !isFile) throw cause;
    const reason = isFile && (cause as { code?: string }).code === "ENOSPC"
      ? "the disk is full; what arrived is kept"
      : cause.message;
    throw new Error(`${what}: ${reason}`, { cause });
  }
}
