/**
 * Shards: token ids in files of whole numbers, with a checksum each, read by position.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { byteLengthOf, readFileAt } from "../io/files.ts";
import { sha256 } from "../io/fingerprint.ts";

/** A shard, as its index describes it. */
export interface ShardEntry {
  /** Name of the files, without ending: `.ids`, `.starts`, and `.learned` where not all ids are learned. */
  readonly name: string;
  readonly tokens: number;
  /** Documents that begin in it. */
  readonly documents: number;
  /** Bytes of an id: 2 or 4. */
  readonly bytesPerToken: 2 | 4;
  /** Whether there is a file that says which ids are learned. */
  readonly masked: boolean;
  /** SHA-256 of its files, one behind the other. */
  readonly hash: string;
}

/** Ids of one shard that grows. */
export class ShardBuffer {
  #ids = new Uint32Array(1 << 16);
  #learned = new Uint8Array(1 << 16).fill(1);
  #length = 0;
  #masked = false;
  readonly #starts: number[] = [];

  get tokens(): number {
    return this.#length;
  }

  add({ ids, learned, begins }: { readonly ids: Uint32Array; readonly learned?: Uint8Array; readonly begins: boolean }): void {
    const end = this.#length + ids.length;
    if (end > this.#ids.length) this.#grow(end);
    if (begins) this.#starts.push(this.#length);
    this.#ids.set(ids, this.#length);
    if (learned) this.#learned.set(learned, this.#length);
    else this.#learned.fill(1, this.#length, end);
    this.#masked ||= learned !== undefined;
    this.#length = end;
  }

  #grow(wanted: number): void {
    const size = Math.max(wanted, 2 * this.#ids.length);
    const [ids, learned] = [this.#ids, this.#learned];
    this.#ids = new Uint32Array(size);
    this.#learned = new Uint8Array(size);
    this.#ids.set(ids);
    this.#learned.set(learned);
  }

  /** Writes what is there to files of this name, and is empty afterwards. */
  async write(folder: string, name: string, bytesPerToken: 2 | 4): Promise<ShardEntry> {
    const ids = this.#ids.subarray(0, this.#length);
    const stored = bytesPerToken === 2 ? Uint16Array.from(ids) : ids.slice();
    const files: [ending: string, content: Uint8Array][] = [
      ["ids", new Uint8Array(stored.buffer)],
      ["starts", new Uint8Array(Uint32Array.from(this.#starts).buffer)],
    ];
    if (this.#masked) files.push(["learned", this.#learned.slice(0, this.#length)]);
    for (const [ending, content] of files) await writeFileAtomic(`${folder}/${name}.${ending}`, content);
    const hash = await sha256(files.map(([, content]) => content));
    const [tokens, documents, masked] = [this.#length, this.#starts.length, this.#masked];
    this.#length = 0;
    this.#starts.length = 0;
    this.#masked = false;
    return { name, tokens, documents, bytesPerToken, masked, hash };
  }
}

/** Whether the files of a shard are there, at their sizes. */
export async function isWhole(folder: string, { name, tokens, documents, bytesPerToken, masked }: ShardEntry): Promise<boolean> {
  const sizes: [ending: string, bytes: number][] = [["ids", tokens * bytesPerToken], ["starts", documents * 4]];
  if (masked) sizes.push(["learned", tokens]);
  const found = await Promise.all(sizes.map(([ending]) => byteLengthOf(`${folder}/${name}.${ending}`).catch(() => -1)));
  return sizes.every(([, bytes], at) => found[at] === bytes);
}

/** A stored shard. What it holds is checked against its hash before it is first read. */
export class Shard {
  readonly folder: string;
  readonly entry: ShardEntry;
  #checked?: Promise<void>;
  #starts?: Promise<Uint32Array>;

  constructor(folder: string, entry: ShardEntry) {
    this.folder = folder;
    this.entry = entry;
  }

  /** Ids from `start` on. */
  async ids(start: number, length: number): Promise<Uint16Array | Uint32Array> {
    await (this.#checked ??= this.#check());
    const { bytesPerToken } = this.entry;
    const { buffer } = await readFileAt(this.#path("ids"), start * bytesPerToken, length * bytesPerToken);
    return bytesPerToken === 2 ? new Uint16Array(buffer) : new Uint32Array(buffer);
  }

  /** 1 for each id from `start` on that is learned; `undefined` where all are. */
  async learned(start: number, length: number): Promise<Uint8Array | undefined> {
    if (!this.entry.masked) return undefined;
    await (this.#checked ??= this.#check());
    return await readFileAt(this.#path("learned"), start, length);
  }

  /** Where documents begin, in ascending order. */
  starts(): Promise<Uint32Array> {
    return this.#starts ??= this.#readStarts();
  }

  async #readStarts(): Promise<Uint32Array> {
    await (this.#checked ??= this.#check());
    return new Uint32Array((await readFileAt(this.#path("starts"), 0, 4 * this.entry.documents)).buffer);
  }

  #path(ending: string): string {
    return `${this.folder}/${this.entry.name}.${ending}`;
  }

  async #check(): Promise<void> {
    const { tokens, documents, bytesPerToken, masked, hash } = this.entry;
    const parts = [
      await readFileAt(this.#path("ids"), 0, tokens * bytesPerToken),
      await readFileAt(this.#path("starts"), 0, 4 * documents),
      ...masked ? [await readFileAt(this.#path("learned"), 0, tokens)] : [],
    ];
    if (await sha256(parts) === hash) return;
    throw new Error(`Cannot read "${this.#path("ids")}": it is damaged; delete the folder "${this.folder}", and it is made anew`);
  }
}
