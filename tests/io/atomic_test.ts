import { deepEqual, equal, match, rejects } from "../assert.ts";
import { writeFileAtomic } from "../../src/io/atomic.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const namesIn = (folder: string): string[] => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("writeFileAtomic() writes text, bytes and chunks, and replaces", () =>
  inFolder(async (folder) => {
    const path = `${folder}/file`;
    await writeFileAtomic(path, "né");
    equal(await Deno.readTextFile(path), "né");
    await writeFileAtomic(path, new Uint8Array([1, 2, 3]));
    deepEqual(await Deno.readFile(path), new Uint8Array([1, 2, 3]));
    await writeFileAtomic(path, [new Uint8Array(100_000).fill(1), new Uint8Array(), new Uint8Array([2])]);
    equal((await Deno.stat(path)).size, 100_001);
    deepEqual(namesIn(folder), ["file"]);
  }));

Deno.test("a failure half-way leaves the old file and nothing else", () =>
  inFolder(async (folder) => {
    await writeFileAtomic(`${folder}/file`, "old");
    function* failing(): Generator<Uint8Array> {
      yield new Uint8Array(10);
      throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    }
    await rejects(writeFileAtomic(`${folder}/file`, failing()), { message: `Cannot write "${folder}/file": the disk is full` });
    equal(await Deno.readTextFile(`${folder}/file`), "old");
    deepEqual(namesIn(folder), ["file"]);
  }));

Deno.test("errors say what is wrong with the folder", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/taken`);
    await Deno.writeTextFile(`${folder}/plain`, "");
    await rejects(writeFileAtomic(`${folder}/none/file`, "x"), /Cannot write ".*none\/file": its folder does not exist/);
    await rejects(writeFileAtomic(`${folder}/plain/file`, "x"), /Cannot write ".*plain\/file": its folder is a file/);
    await rejects(writeFileAtomic(`${folder}/taken`, "x"), /Cannot write ".*taken": a folder of that name exists/);
    deepEqual(namesIn(folder), ["plain", "taken"]);
  }));

Deno.test({
  name: "without permission to write, the error says so",
  permissions: { read: true, write: false },
  fn: () =>
    rejects(
      writeFileAtomic("file", "x"),
      (error) => (match(String(error), /Cannot write "file": its folder is not writable/), true),
    ),
});
