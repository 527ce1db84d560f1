import { openPackedModel } from "../../src/cli/models.ts";
import type { PackingLoss } from "../../src/cli/packing_loss.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/llama/checkpoint.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { heldOutLoss } from "../../src/pipeline/evaluate.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { openBitnet } from "../../src/pipeline/pack_bitnet.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "hestia", groupSize: 64 } };

Deno.test("deno task pack writes a file that opens, from the folder of a model or of a run", () =>
  withModelFolder(model, async (folder) => {
    const output = `${folder}/model.gguf`;
    const finished = await runCommand("pack", ["--model", folder, "--output", output, "--json"]);
    equal(finished.code, 0, finished.stderr);
    match(
      finished.stderr,
      /: trained by hestia with groups of 64, which q2_0 holds\n.*model\.gguf: \d+\.\d KiB, 36864 weights at 2\.25 bits each\nwritten +.*model\.gguf\nnext +deno task generate --model .*\n$/,
    );
    const { size } = await Deno.stat(output);
    deepEqual(lastJson(finished), {
      ...{ output, format: "q2_0", embeddings: "f16", quantizer: "hestia", groupSize: 64, exact: true },
      ...{ bytes: size, quantizedWeights: 36864, bitsPerWeight: 2.25 },
    });
    deepEqual((await openPacked(await Deno.readFile(output))).config, model.config);
    const again = await runCommand("pack", ["--model", `${folder}/model`, "--output", `${folder}/again.gguf`]);
    equal(again.code, 0, again.stderr);
    deepEqual(await Deno.readFile(`${folder}/again.gguf`), await Deno.readFile(output));
  }));

Deno.test("deno task pack rounds a full-precision model when told how", () =>
  withModelFolder(tinyModel({ layers: 1 }), async (folder) => {
    const args = ["--model", folder, "--output", `${folder}/model.gguf`];
    const refused = await runCommand("pack", args);
    deepEqual(refused, {
      ...{ code: 2, stdout: "" },
      stderr:
        "error: the model does not say how it was trained, and its weights are not ternary: --quantizer and --group-size say it " +
        "for latent weights, --group-size alone rounds a model in full precision\n",
    });
    equal((await runCommand("pack", [...args, "--group-size", "128"])).code, 2); // 64 columns
    deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["model"]);
    equal((await runCommand("pack", [...args, "--group-size", "64"])).code, 0);
  }));

/** Mean of the loss on some text. */
const lossOn = async (path: string) => {
  const opened = (await openPackedModel(path))!;
  return (await heldOutLoss(opened, sampleText(400), { batchSize: 2, sequenceLength: 64 })).lossNats;
};

Deno.test("deno task pack takes latent weights of other trainers, once it is told what they were trained with", () =>
  withModelFolder(tinyModel({ layers: 1 }), async (folder) => {
    const output = `${folder}/latent.gguf`;
    const args = ["--model", folder, "--output", output, "--quantizer", "twn", "--group-size", "-1"];
    const { code, stdout, stderr } = await runCommand("pack", args);
    equal(code, 0, stderr);
    match(stdout, /: latent weights, to be rounded as they were trained, by twn to one scale a channel, which q2_0 holds\n/);
    const latent = await loadCheckpoint(`${folder}/model`);
    const wanted = await heldOutLoss(
      roundedModel({ ...latent, quantization: { quantizer: "twn", groupSize: -1 } }),
      sampleText(400),
      {
        ...{ batchSize: 2, sequenceLength: 64 },
      },
    );
    ok(Math.abs(await lossOn(output) - wanted.lossNats) < 1e-3); // scales in half precision
    const halves = await runCommand("pack", [...args, "--format", "f16"]);
    equal(halves.code, 0, halves.stderr);
    ok(Math.abs(await lossOn(output) - wanted.lossNats) < 1e-3);
  }));

for (const says of [undefined, { quantizer: "hestia", groupSize: 64 }]) {
  const title = says ? "says that they are latent" : "says nothing of them";
  Deno.test(`weights that are ternary already are packed, and run, as they are, though their model ${title}`, async () => {
    const { quantization: _, ...rounded } = roundedModel({
      ...tinyModel({ layers: 1 }),
      quantization: { quantizer: "twn", groupSize: 64 },
    });
    await withModelFolder({ ...rounded, ...(says ? { quantization: says } : {}) }, async (folder) => {
      await Deno.writeFile(`${folder}/text`, sampleText(400));
      const wanted = (await heldOutLoss(rounded, sampleText(400), { batchSize: 2, sequenceLength: 64 })).lossNats;
      for (const format of ["q2_0", "f16"]) {
        const output = `${folder}/${format}.gguf`;
        const { code, stdout, stderr } = await runCommand("pack", ["--model", folder, "--output", output, "--format", format]);
        equal(code, 0, stderr);
        match(stdout, new RegExp(`: ternary already, with groups of 64, and taken as it is, which ${format} holds\\n`));
        ok(Math.abs(await lossOn(output) - wanted) < 1e-3, `${await lossOn(output)} ${wanted}`);
      }
      const evaluated = await runCommand("evaluate", [
        ...["--model", folder, "--data", `${folder}/text`, "--cache", `${folder}/cache`],
        ...["--sequence-length", "64", "--batch-size", "2", "--json"],
      ]);
      ok(Math.abs((lastJson(evaluated) as { lossNats: number }).lossNats - wanted) < 1e-6, evaluated.stderr);
      if (says) return;
      const coarse = await runCommand("pack", ["--model", folder, "--output", "x", "--group-size", "0"]);
      deepEqual([coarse.code, coarse.stderr], [
        ...[2, "error: the weights are ternary already, with groups of 64: wanted --group-size 64, got 0\n"],
      ]);
    });
  });
}

Deno.test("deno task pack says which formats hold a model whose rows no block divides", () => {
  const sizes = { vocabularySize: 256, hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 172 };
  const odd = {
    ...initialModel(sizes, { seed: 3 }),
    tokenizer: byteTokenizer,
    quantization: { quantizer: "hestia", groupSize: 0 },
  };
  return withModelFolder(odd, async (folder) => {
    const args = ["--model", folder, "--output", `${folder}/packed`];
    const { code, stderr } = await runCommand("pack", args);
    deepEqual([code, stderr], [
      2,
      "error: q2_0 takes rows that are multiples of 64, and some have 172: choose --format bitnet, dense, f16, which hold one scale a tensor of this model\n",
    ]);
    await saveCheckpoint(`${folder}/plain`, odd, { tokenizer: byteTokenizer });
    const grouped = await runCommand("pack", [
      "--model",
      `${folder}/plain`,
      "--output",
      `${folder}/p`,
      "--quantizer",
      "ternary",
      "--group-size",
      "64",
    ]);
    match(grouped.stderr, /some have 172, and no format holds groups of 64 of this model: choose another --group-size\n$/);
    equal((await runCommand("pack", [...args, "--format", "dense"])).code, 0);
  });
});

Deno.test("deno task pack says what merged scales cost", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeFile(`${folder}/text`, sampleText(3000));
    const args = [
      "--model",
      folder,
      "--format",
      "bitnet",
      "--output",
      `${folder}/bitnet`,
      "--data",
      `${folder}/text`,
      "--cache",
      `${folder}/cache`,
    ];
    const finished = await runCommand("pack", [...args, "--allow-loss", "--json"]);
    equal(finished.code, 0, finished.stderr);
    match(
      finished.stderr,
      /which bitnet does not hold\n(.*\n)+lost: weights off by \d\.\d\d %, held-out loss .* → .* nats \(299 tokens\)\nwritten /,
    );
    const { exact, loss } = lastJson(finished) as { exact: boolean; loss: PackingLoss };
    equal(exact, false);
    ok(loss.weightError > 0.03 && loss.weightError < 0.1, `${loss.weightError}`);
    const opened = await openBitnet(`${folder}/bitnet`);
    const wanted = await heldOutLoss(opened, byteTokenizer.encode(new TextDecoder().decode(sampleText(3000))).subarray(2700), {
      ...{ batchSize: 4, sequenceLength: 128 },
    });
    ok(Math.abs(loss.packed.lossNats - wanted.lossNats) < 1e-6);
    ok(loss.packed.lossNats !== loss.exact.lossNats);
  }));

const formats = [
  { format: "dense", more: ["--compress"], kind: "dense, compressed", type: "dense", bits: 1.85 + 0.0125 },
  { format: "q4_0", more: ["--embeddings", "q8_0"], kind: "GGUF", type: "Q4_0", bits: 4.5 },
  { format: "f16", more: [], kind: "GGUF", type: "F16", bits: 16 },
] as const;

for (const { format, more, kind, type, bits } of formats) {
  Deno.test(`deno task inspect and unpack read what deno task pack writes as ${format}`, () =>
    withModelFolder(model, async (folder) => {
      const packed = `${folder}/packed`;
      equal((await runCommand("pack", ["--model", folder, "--format", format, "--output", packed, ...more])).code, 0);
      const inspected = await runCommand("inspect", [packed, "--json"]);
      equal(inspected.code, 0, inspected.stderr);
      const facts = lastJson(inspected) as
        & {
          readonly [field in "bitsPerWeight" | "ternaryWeights" | "zeroShare" | "presenceBitmapBits"]: number;
        }
        & { readonly kind: string; readonly tensors: readonly InspectedTensor[] };
      equal(facts.kind, kind);
      ok(Math.abs(facts.bitsPerWeight - bits) < 0.02, `${facts.bitsPerWeight}`);
      const up = facts.tensors.find(({ name }) => /up/.test(name))!;
      deepEqual([up.type, up.shape, up.scales.count % 128], [type, [128, 64], 0]);
      ok(
        up.shares.every((share) => share > 0.25 && share < 0.45) &&
          Math.abs(up.shares[0] + up.shares[1] + up.shares[2] - 1) < 1e-9,
      );
      match(
        inspected.stderr,
        /tensor +type +shape +bytes +(bits per )?weight\n[^]*ternary weights +-1 +0 +\+1 +scales +least +mean +most\n/,
      );
      match(inspected.stderr, /zeros z: [23]\d\.\d %; as presence bitmaps, 2 - z = 1\.[67]\d+ bits a ternary weight\n/);
      const listed = facts.tensors.filter(({ shares }) => shares !== undefined);
      const zeros = listed.reduce((sum, { shape, shares }) => sum + shape[0] * shape[1] * shares[1], 0);
      equal(facts.ternaryWeights, 36864);
      ok(Math.abs(facts.zeroShare - zeros / 36864) < 1e-9 && facts.presenceBitmapBits === 2 - facts.zeroShare);
      const unpacked = await runCommand("unpack", ["--model", packed, "--output", `${folder}/unpacked`, "--json"]);
      deepEqual(lastJson(unpacked), {
        output: `${folder}/unpacked`,
        weights: 36864 + 256 * 64 + 3 * 64,
        quantizer: "hestia",
        groupSize: 64,
      });
      const [first, second] = [await loadCheckpoint(`${folder}/unpacked`), await openPackedModel(packed)];
      for (const [name, parameter] of Object.entries(first.parameters)) {
        deepEqual(await parameter.data(), await second!.parameters[name].data(), name);
      }
      const checkpoint = await runCommand("inspect", [`${folder}/unpacked`]);
      match(checkpoint.stdout, /mlp\.up_proj\.weight +F32 +128×64 +32\.0 KiB +32\.000\n/);
      match(checkpoint.stdout, /mlp\.up_proj\.weight +3\d\.\d % +3\d\.\d % +3\d\.\d % +\d+ +\S+ +\S+ +\S+\n/);
      ok(checkpoint.stdout.split("\n").every((line) => line.length <= 80 || /^ /.test(line)), checkpoint.stdout);
    }));
}

interface InspectedTensor {
  readonly name: string;
  readonly type: string;
  readonly shape: number[];
  readonly shares: number[];
  readonly scales: { readonly count: number };
}

Deno.test("deno task inspect and unpack refuse bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeTextFile(`${folder}/text`, "not a model at all, but long enough to be one");
    const cases: [name: string, args: string[], wanted: RegExp][] = [
      ["inspect", [], /^error: file is missing|^error: FILE is missing/],
      ["inspect", ["/nowhere"], /^error: cannot open the model \/nowhere: no such file or folder\n$/],
      [
        "inspect",
        [`${folder}/text`],
        /^error: cannot read ".*text": header of \d+ bytes, wanted at most \d+ in a file of 45 bytes\n$/,
      ],
      [
        "unpack",
        ["--model", folder, "--output", `${folder}/model`],
        /^error: cannot write to the folder .*model: it holds files, such as ".*"; wanted a new one\n$/,
      ],
      ["unpack", ["--model", folder, "--output", "x"], /^error: cannot unpack .*: it holds no packed model\n$/],
      ["unpack", ["--model", `${folder}/text`, "--output", "x"], /^error: cannot read ".*text": wanted it to begin with "GGUF"/],
    ];
    for (const [name, args, message] of cases) {
      const { code, stderr } = await runCommand(name, args);
      match(stderr, message);
      equal(code, 2);
    }
  }));

Deno.test("deno task pack refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    const cases: [string[], RegExp][] = [
      [["--model", folder], /^error: --output is missing; see deno task pack --help\n$/],
      [["--model", "/nowhere", "--output", "x"], /^error: cannot open the model \/nowhere: no such file or folder\n$/],
      [
        ["--model", folder, "--output", "/nowhere/x.gguf"],
        /^error: cannot write "\/nowhere\/x\.gguf": its folder does not exist\n$/,
      ],
      [
        ["--model", folder, "--output", "x", "--format", "q2_1"],
        /^error: --format must be one of q2_0, .*dense, f16, got "q2_1" \(did you mean "q2_0"\?\)\n$/,
      ],
      [["--model", folder, "--output", "x", "--compress"], /^error: --compress is for --format dense, got q2_0\n$/],
      [
        ["--model", folder, "--output", "x", "--format", "bitnet"],
        /^error: bitnet holds group sizes 0 \(tensor\), the model has groups of 64: choose --format q2_0, q4_0, dense, f16, or --allow-loss/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runCommand("pack", args);
      match(stderr, message);
      equal(code, 2);
    }
  }));
