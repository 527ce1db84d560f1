/** What is on the disk after a loss of power, at any operation. */

import { writeFileAtomic } from "../../src/io/atomic.ts";
import { makeFolder, readFileIfThere } from "../../src/io/files.ts";
import { newestSnapshot, writeSnapshot } from "../../src/io/snapshots.ts";
import { equal, ok } from "../assert.ts";
import { Disk } from "../support/power.ts";

const textOf = async (path: string) => {
  const bytes = await readFileIfThere(path);
  return bytes && new TextDecoder().decode(bytes);
};

Deno.test("a file that is written anew is the old one or the new one, and the new one once that is told", async () => {
  for (let lasts = 0, isDone = false; !isDone; lasts++) {
    const disk = new Disk();
    await disk.run(() => makeFolder("/runs/mine").then(() => writeFileAtomic("/runs/mine/run.json", "the old manifest")));
    isDone = await disk.run(() => writeFileAtomic("/runs/mine/run.json", "another manifest"), { lasts });
    await disk.run(async () => {
      const text = await textOf("/runs/mine/run.json");
      ok(text === "another manifest" || !isDone && text === "the old manifest", `${lasts}: ${text}`);
    });
    ok(lasts < 100);
  }
});

Deno.test("the newest snapshot that was told to be written is there after a loss of power, whole", async () => {
  let losses = 0;
  for (let lasts = 0, isDone = false; !isDone; lasts++) {
    const disk = new Disk();
    let written = 0;
    isDone = await disk.run(async () => {
      for (const number of [1, 2, 3]) {
        const files = { "state.safetensors": `weights of step ${number}`, "more.json": "{}" };
        await writeSnapshot("/runs/mine/checkpoints/pretrain", number, { files, info: { number }, keep: 1 });
        written = number;
      }
    }, { lasts });
    if (!isDone) losses++;
    await disk.run(async () => {
      const { number = 0, folder, damaged } = await newestSnapshot("/runs/mine/checkpoints/pretrain");
      ok(number >= written, `${lasts}: ${number}, ${written} was written`);
      if (folder) equal(await textOf(`${folder}/state.safetensors`), `weights of step ${number}`);
      equal(damaged.length, 0, `${lasts}: ${damaged}`);
    });
  }
  ok(losses > 100, `${losses}`);
});
