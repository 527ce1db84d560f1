/** The library in a page without anything of Deno: programs as people write them. Run by `deno task test:browser`. */

import {
  backendInfo,
  byteTokenizer,
  gradients,
  hessianVectorProduct,
  initialModel,
  loadCheckpoint,
  openGgufFile,
  saveCheckpoint,
  tensor,
} from "../../mod.ts";
import { deepEqual, doesNotMatch, equal, match, ok, rejects } from "../assert.ts";

/** The part of a page that a program is loaded by. */
const origin = (globalThis as unknown as { location: { origin: string } }).location.origin;

Deno.test("a page has nothing of Deno, and a WebGPU adapter", async () => {
  equal(typeof Deno, "undefined");
  equal((await backendInfo()).name, "webgpu");
});

Deno.test("values and derivatives of both orders", async () => {
  const w = tensor([1, 2, 3]);
  const loss = w.mul(w).mul(w).sum();
  const [g] = gradients(loss, [w]);
  const [hv] = hessianVectorProduct(loss, [w], [tensor([1, 0, 1])]);
  deepEqual([await loss.item(), [...await g.data()], [...await hv.data()]], [36, [3, 12, 27], [6, 0, 18]]);
});

Deno.test("files are missed by what needs them, by name", async () => {
  const model = initialModel(
    { vocabularySize: 256, hiddenSize: 8, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 8 },
    { seed: 1 },
  );
  await rejects(loadCheckpoint("folder"), /Cannot read "folder\/config.json": this platform has no files/);
  await rejects(openGgufFile("model.gguf"), /Cannot open "model.gguf": this platform has no files/);
  await rejects(saveCheckpoint("folder", model, { tokenizer: byteTokenizer }), /folder "folder": this platform has no files/);
});

Deno.test("the library is read by browsers that do not know `using` yet", async () => {
  const library = await (await fetch("/mod.ts")).text();
  ok(library.length > 100_000);
  doesNotMatch(library, /^\s*(await )?using \w+ =/m);
});

const readme = await (await fetch("/README.md")).text();
const programs = [...readme.matchAll(/```ts\n([^]*?)```/g)].map(([, text]) => text);

for (const [index, program] of programs.entries()) {
  Deno.test(`program ${index + 1} of the README`, async () => {
    const lines: string[] = [];
    const { log } = console;
    console.log = (...values: unknown[]) => void lines.push(values.join(" "));
    try {
      match(program, /from "@hestia\/hestia"/);
      const text = program.replace('"@hestia/hestia"', `"${origin}/mod.ts"`);
      await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    } finally {
      console.log = log;
    }
    ok(lines.length > 0 && !lines.some((line) => /NaN|undefined/.test(line)), `it printed ${JSON.stringify(lines)}`);
    log(lines.join("\n"));
  });
}
ok(programs.length >= 3);
