/** Damaged files of every other kind: tokenizers, configurations, states of training, compressed lines. */

import { resolveConfig } from "../../src/cli/config.ts";
import { byteStream } from "../../src/io/byte_stream.ts";
import { gzip } from "../../src/io/gzip.ts";
import { newestSnapshot, writeSnapshot } from "../../src/io/snapshots.ts";
import { loadTensors } from "../../src/io/tensors.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { configJson } from "../../src/llama/checkpoint.ts";
import { llamaConfig } from "../../src/llama/config.ts";
import { loadTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { ok } from "../assert.ts";
import { damaged, damagedJson, fuzz } from "../support/fuzz.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { recordedKinds } from "../support/tokenizers.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";
const runsOf = (few: number) => deep ? 20_000 : few;

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("damaged tokenizers are opened or refused, and those that open encode and decode", async () => {
  const kinds = Object.values(recordedKinds).map((kind) => kind());
  const runs = runsOf(300);
  const text = "Call me Ishmael.  Né à 12:30 — 字🚀<s>\n";
  const refused = await fuzz({
    runs,
    make: (random) => damagedJson(kinds[Math.floor(random() * kinds.length)], random),
  }, async (json) => {
    const tokenizer = await loadTokenizer(json);
    const ids = tokenizer.encode(text);
    tokenizer.decode(ids);
    const stream = tokenizer.stream();
    for (const id of ids) stream.push(id);
    stream.end();
  });
  ok(refused > 0.2 * runs && refused < runs, `${refused} of ${runs} refused`);
});

Deno.test("damaged configurations of models and of runs are read or refused", async () => {
  const model = configJson(tinyModel().config, {}) as unknown as Parameters<typeof llamaConfig>[0];
  const runs = runsOf(1000);
  ok(await fuzz({ runs, make: (random) => damagedJson(model, random) }, (json) => llamaConfig(json)) > 0.2 * runs);
  const run = JSON.parse(JSON.stringify(resolveConfig({ seed: 1 })));
  ok(await fuzz({ runs, make: (random) => damagedJson(run, random) }, (json) => resolveConfig(json)) > 0.2 * runs);
});

Deno.test("damaged states of training are passed over, and their tensors read or refused", () =>
  inFolder(async (folder) => {
    const data = new Float32Array(33).map((_, index) => index);
    const state = writeSafetensors({
      "parameters/w": { dtype: "F32", shape: [3, 11], data },
      norm: { dtype: "F32", shape: [], data: [1] },
    });
    await writeSnapshot(`${folder}/states`, 1, { files: { "state.safetensors": state }, info: { step: 1 }, keep: 2 });
    const place = `${folder}/states/step-00000001`;
    const index = await Deno.readFile(`${place}/checkpoint.json`);
    const runs = runsOf(150);
    let whole = 0;
    await fuzz(
      { runs, make: (random) => ({ index: damaged(index, index.length, random), isState: random() < 0.5, random }) },
      async (each) => {
        const bytes = each.isState ? damaged(state, state.length, each.random) : each.index;
        await Deno.writeFile(`${place}/${each.isState ? "state.safetensors" : "checkpoint.json"}`, bytes);
        const found = await newestSnapshot(`${folder}/states`);
        if (found.folder !== undefined) whole++;
        await Deno.writeFile(`${place}/checkpoint.json`, index);
        if (each.isState) await loadTensors(`${place}/state.safetensors`);
        await Deno.writeFile(`${place}/state.safetensors`, state);
      },
    );
    ok(whole < 0.3 * runs, `${whole} of ${runs} states count as whole`); // where what they say of themselves is damaged, or nothing is
  }));

Deno.test("damaged compressed lines are read or refused", () =>
  inFolder(async (folder) => {
    const bytes = gzip(sampleText(3000));
    const runs = runsOf(200);
    const refused = await fuzz({ runs, make: (random) => damaged(bytes, bytes.length, random) }, async (file) => {
      await Deno.writeFile(`${folder}/x.jsonl.gz`, file);
      for await (const _ of byteStream(`${folder}/x.jsonl.gz`, { compression: "gzip" }));
    });
    ok(refused > 0.8 * runs, `${refused} of ${runs} refused`);
  }));
