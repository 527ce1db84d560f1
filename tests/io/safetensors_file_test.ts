import { deepEqual, equal, rejects } from "../assert.ts";
import { tensorValues, writeSafetensors } from "../../src/io/safetensors.ts";
import { readCheckpointFolder, readSafetensorsFile } from "../../src/io/safetensors_file.ts";

const one = { dtype: "F32", shape: [2], data: [1, 2] } as const;
const two = { dtype: "I64", shape: [1], data: [-3] } as const;

/** Runs `test` on a fresh folder holding `files`. */
async function withFiles(files: Record<string, Uint8Array | string>, test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(`${folder}/${name}`, typeof content === "string" ? new TextEncoder().encode(content) : content);
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const index = (map: Record<string, unknown>): string => JSON.stringify({ metadata: { total_size: 16 }, weight_map: map });

const sharded = {
  "a.safetensors": writeSafetensors({ one }, { format: "pt" }),
  "b.safetensors": writeSafetensors({ two }, { from: "b" }),
  "model.safetensors.index.json": index({ one: "a.safetensors", two: "b.safetensors" }),
};

Deno.test("readSafetensorsFile() reads a file and names its path when it cannot", () =>
  withFiles({ "x.safetensors": writeSafetensors({ one }), "bad.safetensors": new Uint8Array(3) }, async (folder) => {
    deepEqual([...tensorValues((await readSafetensorsFile(`${folder}/x.safetensors`)).tensors.get("one")!)], [1, 2]);
    await rejects(readSafetensorsFile(`${folder}/none`), /Cannot read ".*\/none": No such file/);
    await rejects(
      readSafetensorsFile(`${folder}/bad.safetensors`),
      /Cannot read ".*\/bad\.safetensors": wanted at least 8 bytes, got 3/,
    );
  }));

Deno.test("readCheckpointFolder() reads a single file, tensor by tensor", () =>
  withFiles({ "model.safetensors": writeSafetensors({ two, one }, { format: "pt" }) }, async (folder) => {
    using checkpoint = await readCheckpointFolder(folder);
    deepEqual([...checkpoint.tensors.keys()], ["one", "two"]);
    equal(checkpoint.tensors.get("two")!.dtype, "I64");
    deepEqual(checkpoint.metadata, { format: "pt" });
    const [a, b] = await Promise.all([checkpoint.read("one"), checkpoint.read("two")]);
    deepEqual([[...tensorValues(a)], [...tensorValues(b)]], [[1, 2], [-3]]);
    await rejects(checkpoint.read("three"), /Cannot read tensor "three": the checkpoint has none of that name/);
  }));

Deno.test("readCheckpointFolder() reads shards through their index", () =>
  withFiles(sharded, async (folder) => {
    using checkpoint = await readCheckpointFolder(folder);
    deepEqual([...checkpoint.tensors.keys()], ["one", "two"]);
    deepEqual(checkpoint.metadata, { format: "pt", from: "b" });
    deepEqual([...tensorValues(await checkpoint.read("two"))], [-3]);
  }));

const faults: [name: string, files: Record<string, Uint8Array | string>, wanted: RegExp][] = [
  ["empty folder", {}, /Cannot open checkpoint ".*": wanted model\.safetensors or model\.safetensors\.index\.json/],
  [
    "damaged file",
    { "model.safetensors": sharded["a.safetensors"].slice(0, -1) },
    /model\.safetensors": its span \[0,8\] ends after/,
  ],
  [
    "missing shard",
    { ...sharded, "model.safetensors.index.json": index({ one: "c.safetensors" }) },
    /lists c\.safetensors, which is missing/,
  ],
  [
    "tensor in another shard",
    { ...sharded, "model.safetensors.index.json": index({ one: "a.safetensors", two: "a.safetensors" }) },
    /a\.safetensors has no tensor "two"/,
  ],
  [
    "tensor in two shards",
    { ...sharded, "b.safetensors": writeSafetensors({ one, two }) },
    /tensor "one" lies in ".*a\.safe.*" and in ".*b\.safe/,
  ],
  ["index without map", { "model.safetensors.index.json": "{}" }, /wanted an object "weight_map"/],
  ["index no JSON", { "model.safetensors.index.json": "{" }, /Cannot read ".*index\.json": /],
  [
    "shard outside the folder",
    { "model.safetensors.index.json": index({ one: "../a.safetensors" }) },
    /"one" lies in "\.\.\/a\.safetensors"/,
  ],
  ["shard that is no name", { "model.safetensors.index.json": index({ one: 1 }) }, /"one" lies in 1, wanted the name/],
];

for (const [name, files, wanted] of faults) {
  Deno.test(`checkpoint: ${name}`, () => withFiles(files, (folder) => rejects(readCheckpointFolder(folder), wanted)));
}

Deno.test("a file cut short after opening is noticed", () =>
  withFiles({ "model.safetensors": writeSafetensors({ one }) }, async (folder) => {
    using checkpoint = await readCheckpointFolder(folder);
    const { size } = await Deno.stat(`${folder}/model.safetensors`);
    await Deno.truncate(`${folder}/model.safetensors`, size - 1);
    await rejects(checkpoint.read("one"), /Cannot read tensor "one" of ".*": wanted 8 bytes, the file now ends after 7/);
  }));
