/**
 * Models that `llama-gguf-split` has cut into several files, `NAME-00001-of-00003.gguf` and so on.
 *
 * @module
 */

import { type GgufEntry, type GgufFile, type GgufMetadata, present } from "./gguf.ts";

const keys = { part: "split.no", count: "split.count", tensors: "split.tensors.count" } as const;

/** Files of the model that metadata speak of, and which of them this one is, counted from 0; one file where they say nothing of it. */
export function splitOf(metadata: GgufMetadata): { readonly part: number; readonly count: number } {
  const [part, count] = [keys.part, keys.count].map((key) => Number(metadata[key]?.value ?? (key === keys.count ? 1 : 0)));
  return { part, count };
}

/**
 * Paths of all files of a model, in order, by the path of one of them.
 *
 * @throws RangeError where the name does not say which part it is
 */
export function splitPaths(path: string, { part, count }: ReturnType<typeof splitOf>): string[] {
  const name = (at: number) => `-${digits(at + 1)}-of-${digits(count)}.gguf`;
  if (path.endsWith(name(part))) return Array.from({ length: count }, (_, at) => path.slice(0, -name(part).length) + name(at));
  throw new RangeError(
    `Cannot open "${path}": it is part ${part + 1} of ${count} of a model, wanted its name to end in ${
      name(part)
    }, with the others beside it`,
  );
}

const digits = (number: number): string => String(number).padStart(5, "0");

/** Throws where a file is one of several, and only its bytes are at hand. */
export function refuseSplit(metadata: GgufMetadata, source: string): void {
  const { part, count } = splitOf(metadata);
  if (count === 1) return;
  throw new RangeError(
    `Cannot open ${source}: it is part ${
      part + 1
    } of ${count} of a model, and has no word of the others; open the file by its path, with ` +
      `the others beside it, or join them with llama-gguf-split --merge`,
  );
}

/** Several files as one: metadata of the first, tensors of all. Closes them all. */
export function joinedFiles(files: readonly GgufFile[], source: string): GgufFile {
  const { [keys.part]: _, [keys.count]: __, [keys.tensors]: total, ...metadata } = files[0].metadata;
  const owners = new Map<string, GgufFile>();
  for (const [at, file] of files.entries()) {
    const { part, count } = splitOf(file.metadata);
    if (part !== at || count !== files.length) {
      throw new RangeError(
        `Cannot open ${source}: file ${at + 1} says that it is part ${part + 1} of ${count}, of ${files.length}`,
      );
    }
    for (const name of file.tensors.keys()) {
      if (owners.has(name)) throw new RangeError(`Cannot open ${source}: two of its parts have a tensor "${name}"`);
      owners.set(name, file);
    }
  }
  if (total && Number(total.value) !== owners.size) {
    throw new RangeError(`Cannot open ${source}: its parts have ${owners.size} tensors, wanted ${total.value}`);
  }
  const close = () => files.forEach((file) => file.close());
  return {
    metadata,
    tensors: new Map([...owners].map(([name, file]): [string, GgufEntry] => [name, file.tensors.get(name)!])),
    read: async (name) => await present(owners.get(name), name).read(name),
    readBytes: async (name, start, length) => await present(owners.get(name), name).readBytes(name, start, length),
    close,
    [Symbol.dispose]: close,
  };
}
