/**
 * A disk in memory that forgets what was not synced when the power fails: bytes of files, and names in folders, each by itself.
 *
 * @module
 */

interface File {
  data: number[];
  synced: number[];
}
interface Folder {
  entries: Map<string, File | Folder>;
  synced: Map<string, File | Folder>;
}

const isFolder = (node: File | Folder | undefined): node is Folder => node !== undefined && "entries" in node;
const emptyFolder = (): Folder => ({ entries: new Map(), synced: new Map() });

/** Stands in for the functions of `Deno` that write files while `work` runs. Any operation after the first `lasts` fails. */
export class Disk {
  #root = emptyFolder();
  #left = Infinity;

  /** Does some work on this disk. Returns whether the power lasted. */
  async run(work: () => Promise<void>, { lasts = Infinity }: { readonly lasts?: number } = {}): Promise<boolean> {
    const own = this.#functions() as unknown as Partial<typeof Deno>;
    const names = Object.keys(own) as (keyof typeof own)[];
    const before = Object.fromEntries(names.map((name) => [name, Deno[name]]));
    Object.assign(Deno, own);
    this.#left = lasts;
    try {
      await work();
      return true;
    } catch (error) {
      if (this.#left > 0) throw error;
      this.#fail(this.#root);
      return false;
    } finally {
      Object.assign(Deno, before);
    }
  }

  /** What is left when the power fails now. */
  #fail(folder: Folder): void {
    folder.entries = new Map(folder.synced);
    for (const node of folder.entries.values()) isFolder(node) ? this.#fail(node) : node.data = [...node.synced];
  }

  #tick(): void {
    if (this.#left-- <= 0) throw new Error("the power failed");
  }

  #find(path: string): File | Folder | undefined {
    const names = path.split("/").filter((name) => name !== "");
    let node: File | Folder | undefined = this.#root;
    for (const name of names) node = isFolder(node) ? node.entries.get(name) : undefined;
    return node;
  }

  #parent(path: string): { entries: Folder["entries"]; name: string } {
    const at = path.lastIndexOf("/");
    const parent = this.#find(path.slice(0, at));
    if (!isFolder(parent)) throw new Deno.errors.NotFound(path);
    return { entries: parent.entries, name: path.slice(at + 1) };
  }

  #present(path: string): File | Folder {
    const node = this.#find(path);
    if (!node) throw new Deno.errors.NotFound(path);
    return node;
  }

  /** What `Deno.open` gives. */
  #handle(node: File | Folder) {
    const tick = () => this.#tick();
    let position = 0;
    const close = () => {};
    return {
      async write(bytes: Uint8Array) {
        tick();
        await undefined;
        (node as File).data.push(...bytes.subarray(0, 5)); // by halves, as disks do
        return Math.min(5, bytes.length);
      },
      async sync() {
        tick();
        await undefined;
        if (isFolder(node)) node.synced = new Map(node.entries);
        else node.synced = [...node.data];
      },
      async read(bytes: Uint8Array) {
        await undefined;
        const { data } = node as File;
        if (position >= data.length) return null;
        const part = data.slice(position, position += bytes.length);
        bytes.set(part);
        return part.length;
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  /** The functions that it stands in for. */
  #functions() {
    return { ...this.#readers(), ...this.#writers() };
  }

  #readers() {
    const find = (path: string) => this.#find(path);
    const stat = async (path: string) => {
      await undefined;
      return { isDirectory: isFolder(this.#present(path)) };
    };
    return {
      ...{ stat, lstat: stat },
      readFile: async (path: string) => {
        await undefined;
        return Uint8Array.from((this.#present(path) as File).data);
      },
      readDir: async function* (path: string) {
        await undefined;
        const folder = find(path);
        if (!isFolder(folder)) throw new Deno.errors.NotFound(path);
        for (const [name, node] of [...folder.entries]) yield { name, isDirectory: isFolder(node) };
      },
    };
  }

  #writers() {
    return {
      mkdir: async (path: string) => {
        const names = path.split("/").filter((name) => name !== "");
        for (const [index] of names.entries()) {
          const above = `/${names.slice(0, index + 1).join("/")}`;
          if (this.#find(above)) continue;
          this.#tick();
          const { entries, name } = this.#parent(above);
          entries.set(name, emptyFolder());
        }
        await undefined;
      },
      open: async (path: string, { createNew = false }: Deno.OpenOptions = {}) => {
        await undefined;
        if (createNew) {
          this.#tick();
          const { entries, name } = this.#parent(path);
          entries.set(name, { data: [], synced: [] });
        }
        return this.#handle(this.#present(path));
      },
      rename: async (from: string, to: string) => {
        this.#tick();
        await undefined;
        const [node, source, target] = [this.#present(from), this.#parent(from), this.#parent(to)];
        source.entries.delete(source.name);
        target.entries.set(target.name, node);
      },
      remove: async (path: string) => {
        this.#tick();
        await undefined;
        this.#present(path);
        const { entries, name } = this.#parent(path);
        entries.delete(name);
      },
    };
  }
}
