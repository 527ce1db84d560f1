/** Tasks: scores of a packed model are those of the rules, followed here in another way, one item at a time and in float64. */

import {
  evaluateTask,
  type ItemResult,
  loadTokenizer,
  logLikelihood,
  openPacked,
  pack,
  type PackedModel,
  type TaskName,
  tasks,
  useBackend,
} from "../../mod.ts";
import { huggingFaceConfig } from "../../src/llama/config.ts";
import { capitalized, lengthOf, trimmed } from "../../src/evaluation/python_text.ts";
import { batchesOf, groupedBatches, tokensOf } from "../../src/evaluation/batches.ts";
import { pairTokens } from "../../src/evaluation/log_likelihood.ts";
import { scoreRows } from "../../src/evaluation/score.ts";
import { pairedDifference } from "../../src/evaluation/statistics.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { float64Logits } from "../support/float64_llama.ts";
import { tinyModel } from "../support/models.ts";
import { ggufKinds } from "../support/tokenizers.ts";
import { type MadeItem, madeItems } from "./task_items.ts";

const names = Object.keys(madeItems) as TaskName[];
const begin = 1; // "<s>"

await useBackend("webgpu");
const tokenizer = await loadTokenizer(ggufKinds["llama-bpe"]());
const small = {
  ...tinyModel({ layers: 1, vocabularySize: tokenizer.vocabularySize, maxPositions: 61 }),
  tokenizer,
  beginToken: begin,
};
const packed = await openPacked(await pack({ ...small, quantization: { quantizer: "hestia", groupSize: 64 } }));
const weights = Object.fromEntries(
  await Promise.all(
    Object.entries(packed.parameters).map(async ([name, value]) => [name, Float64Array.from(await value.data())]),
  ),
);

/** log p of each token after the first of a row, and whether it is the likeliest. */
function predictions({ config }: PackedModel, row: readonly number[]): { nats: number; greedy: boolean }[] {
  const logits = float64Logits(huggingFaceConfig(config), weights, row.slice(0, -1));
  const size = config.vocabularySize;
  return row.slice(1).map((token, at) => {
    const scores = Array.from(logits.subarray(at * size, (at + 1) * size));
    const largest = Math.max(...scores);
    const sum = scores.reduce((total, score) => total + Math.exp(score - largest), 0);
    return { nats: scores[token] - largest - Math.log(sum), greedy: scores.indexOf(largest) === token };
  });
}

/** The rules for one pair, followed step by step. */
function byTheRules(model: PackedModel, context: string, continuation: string) {
  const encode = (text: string) => [begin, ...model.tokenizer.encode(text, { parseSpecial: true })];
  let [before, after] = [context, continuation];
  while (before !== "" && " \t\n\x1c\x85\u3000".includes(before.at(-1)!)) {
    [before, after] = [before.slice(0, -1), before.at(-1)! + after];
  }
  const own = encode(before);
  const whole = encode(before + after);
  const wanted = whole.length - own.length;
  const row = own.concat(whole.slice(own.length)).slice(-(model.config.maxPositions + 1)); // the context as it is alone
  const last = predictions(model, row).slice(-wanted);
  return {
    nats: last.reduce((sum, { nats }) => sum + nats, 0),
    greedy: last.every(({ greedy }) => greedy),
    context: own.length,
    continuation: wanted,
  };
}

function checkItem(found: ItemResult, { pairs, lengths, gold }: MadeItem, says: string): void {
  const wanted = pairs.map(([context, continuation]) => byTheRules(packed, context, continuation));
  wanted.forEach(({ nats }, choice) => {
    const got = found.logLikelihoods[choice];
    ok(Math.abs(got - nats) < 1e-4, `${says}: choice ${choice} has ${got} nats, wanted ${nats}`);
  });
  deepEqual(
    found.tokens,
    { context: wanted.map((each) => each.context), continuation: wanted.map((each) => each.continuation) },
    says,
  );
  deepEqual(found.greedy, wanted.map(({ greedy }) => greedy), says);
  const best = (scores: number[]) => scores.indexOf(Math.max(...scores));
  equal(found.gold, gold, says);
  equal(found.predicted, best(wanted.map(({ nats }) => nats)), says);
  equal(found.predictedNorm, best(wanted.map(({ nats }, choice) => nats / lengths[choice])), says);
}

for (const name of names) {
  Deno.test(`${name}: scores of a packed model are those of the rules, to 1e-4 nats`, async () => {
    const items = madeItems[name];
    const seen: number[] = [];
    const result = await evaluateTask<never>(packed, { task: tasks[name] as never, rows: items.map(({ row }) => row) }, {
      batchTokens: 256,
      onProgress: (done, total) => seen.push(done / total),
    });
    equal(result.items.length, items.length);
    items.forEach((item, index) => {
      checkItem(result.items[index], item, `${name} ${index}`);
      equal(result.items[index].index, index);
    });
    const right = result.items.map(({ predicted, gold }) => Number(predicted === gold));
    const share = right.reduce((a, b) => a + b, 0) / right.length;
    equal(result.acc.mean, share);
    if (right.length > 1) {
      const wanted = Math.sqrt(right.reduce((sum, each) => sum + (each - share) ** 2, 0) / (right.length - 1) / right.length);
      ok(Math.abs(result.acc.standardError - wanted) < 1e-12);
    }
    equal(seen.at(-1), 1);
  });
}

Deno.test("prompts of the tasks are those of the data sets' rules", () => {
  for (const name of names) {
    const task = tasks[name] as typeof tasks.piqa;
    for (const { row, pairs, lengths, gold } of madeItems[name]) {
      const item = task.item(row);
      deepEqual(task.pairs(item).map(({ context, continuation }) => [context, continuation]), pairs, name);
      deepEqual(task.lengths(item), lengths, name);
      equal(task.gold(item), gold, name);
    }
  }
});

Deno.test("where a token reaches across the border, the context keeps its own tokens, and the continuation has what the whole has more", async () => {
  const [context, continuation] = ["go in t", "he long run"]; // " the" is one token
  const own = tokenizer.encode(context).length;
  const whole = tokenizer.encode(context + continuation);
  ok(whole.length < own + tokenizer.encode(continuation).length, "the texts join no token: choose others");
  const [score] = await logLikelihood(packed, [{ context, continuation }]);
  const wanted = byTheRules(packed, context, continuation);
  ok(Math.abs(score.logLikelihood - wanted.nats) < 1e-4);
  equal(score.continuationTokens, whole.length - own);
});

Deno.test("an empty context is the begin token, or the end token, or the continuation's own", async () => {
  const ids = (text: string) => Array.from(tokenizer.encode(text, { parseSpecial: true }));
  const nats = (row: number[]) => predictions(packed, row).reduce((sum, each) => sum + each.nats, 0);
  const [plain, own] = await logLikelihood(
    packed,
    ["a whale", "<s>a whale"].map((continuation) => ({ context: "", continuation })),
  );
  ok(Math.abs(plain.logLikelihood - nats([begin, ...ids("a whale")])) < 1e-4);
  equal(own.logLikelihood, plain.logLikelihood);
  const { beginToken: _, ...without } = packed;
  const [ended] = await logLikelihood({ ...without, endTokens: [2] }, [{ context: "", continuation: "a whale" }]);
  ok(Math.abs(ended.logLikelihood - nats([2, ...ids("a whale")])) < 1e-4);
  await rejects(logLikelihood({ ...without, endTokens: [] }, [{ context: "", continuation: "a" }]), RangeError);
  await rejects(
    logLikelihood(packed, [{ context: "a", continuation: "" }]),
    /Cannot score "" after "a": the continuation has no token/,
  );
  await rejects(logLikelihood(packed, [{ context: "a", continuation: "xyz ".repeat(62) }]), /context ends at 61/);
});

Deno.test("a signal ends the work, and a row that is no item is named", async () => {
  const pairs = [{ context: "a", continuation: "b" }];
  await rejects(logLikelihood(packed, pairs, { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
  const controller = new AbortController();
  const many = Array.from({ length: 40 }, (_, i) => ({ context: `${i} whales`, continuation: " swim." }));
  const stopped = logLikelihood(packed, many, {
    batchTokens: 64,
    signal: controller.signal,
    onProgress: () => controller.abort(new Error("in the middle")),
  });
  await rejects(stopped, /in the middle/);
  const cases: [TaskName, Record<string, unknown>, RegExp][] = [
    [
      "piqa",
      { goal: "g", sol1: "a", sol2: "b", label: 2 },
      /Cannot evaluate piqa: in row 1 the field "label" is 2, wanted a number from 0 to 1/,
    ],
    ["piqa", { goal: "g", sol1: "a", label: 0n }, /the field "sol2" is missing, wanted text/],
    [
      "arc_easy",
      { question: "q", choices: { text: ["a"], label: ["A"] }, answerKey: "B" },
      /"answerKey" is "B", wanted one of A/,
    ],
    ["hellaswag", { activity_label: "", ctx_a: "", ctx_b: "", endings: ["a"], label: "" }, /"label" is "", wanted a number/],
    ["winogrande", { sentence: "no gap", option1: "a", option2: "b", answer: "1" }, /wanted a gap/],
  ];
  for (const [name, row, message] of cases) {
    await rejects(evaluateTask<never>(packed, { task: tasks[name] as never, rows: [row] }), message);
  }
});

Deno.test("text is treated as Python does", () => {
  deepEqual(["\x1f\x85 a\ufeff\u3000", "\u200b", ""].map(trimmed), ["a\ufeff", "\u200b", ""]);
  const words = ["éCOLE", "ǆ", "ﬁN", "ß", "ŉA", "აბ", "İI", "ΣΑΣ", "", "1A"];
  deepEqual(words.map(capitalized), ["École", "ǅ", "Fin", "Ss", "ʼNa", "აბ", "İi", "Σας", "", "1a"]);
  equal(lengthOf("é🎈e\u0301"), 4);
});

Deno.test("batches hold every row once, in few shapes", () => {
  const lengths = Array.from({ length: 997 }, (_, i) => 1 + (i * 7919) % 300);
  const batches = batchesOf(lengths, { most: 300, batchTokens: 1024 });
  deepEqual(batches.flatMap(({ rows }) => rows).sort((a, b) => a - b), lengths.map((_, row) => row));
  ok(
    batches.every(({ rows, shape: [height, length] }) =>
      rows.length <= height && height * length <= 1024 && rows.every((row) => lengths[row] <= length)
    ),
  );
  ok(new Set(batches.map(({ shape }) => shape.join())).size < 30);
});

Deno.test("what rows begin with in common, before any target, runs once", async () => {
  const pairs = ["a whale of a time, and more than that", "who goes there?"].flatMap((context) =>
    [" no", " yes, it is", " all of it at once, as ever"].map((continuation) => ({ context, continuation }))
  );
  const rows = pairs.map((pair) => {
    const { context, continuation } = pairTokens(packed, pair);
    const first = context.length - 1;
    return {
      inputs: [...context, ...continuation].slice(0, -1),
      positions: continuation.map((_, at) => first + at),
      targets: continuation,
    };
  });
  const batches = groupedBatches(rows, { most: 61, batchTokens: 512 });
  const shared = batches.filter((batch) => batch.shared);
  deepEqual(shared.map((batch) => [batch.shared!.length, batch.shared!.prefixes.length, batch.rows.length]), [[16, 1, 3]]);
  deepEqual(batches.flatMap((batch) => batch.rows).sort((a, b) => a - b), rows.map((_, row) => row));
  const seen: number[] = [];
  const found = await logLikelihood(packed, pairs, { onProgress: (_, total) => seen.push(total) });
  equal(seen[0], batches.reduce((sum, batch) => sum + tokensOf(rows, batch), 0));
  ok(seen[0] <= rows.reduce((sum, { inputs }) => sum + inputs.length, 0) - 2 * 16);
  pairs.forEach(({ context, continuation }, index) => {
    ok(Math.abs(found[index].logLikelihood - byTheRules(packed, context, continuation).nats) < 1e-4);
  });
});

Deno.test("a large vocabulary is scored in pieces, with the same result", async () => {
  const large = tinyModel({
    layers: 1,
    vocabularySize: 65537,
    hiddenSize: 16,
    heads: 2,
    keyValueHeads: 1,
    headDim: 8,
    intermediateSize: 16,
  });
  const rows = Array.from({ length: 5 }, (_, row) => {
    const ids = Array.from({ length: 61 }, (_, at) => (row * 9973 + at * 7919) % 65537);
    return { inputs: ids.slice(0, -1), positions: ids.slice(1).map((_, at) => at), targets: ids.slice(1) };
  });
  const [together, apart] = [await scoreRows(large, rows), await scoreRows(large, rows, { batchTokens: 1 })]; // 300 rows of logits, or 60
  together.forEach(({ logProbabilities, greedy }, row) => {
    logProbabilities.forEach((value, at) => ok(Math.abs(value - apart[row].logProbabilities[at]) < 1e-5));
    deepEqual(greedy, apart[row].greedy);
  });
});

Deno.test("paired differences are surer than two means", () => {
  const first = Array.from({ length: 101 }, (_, i) => i % 2);
  const second = first.map((value, i) => i === 7 ? 1 - value : value);
  const { mean, standardError } = pairedDifference(first, second);
  ok(Math.abs(mean - 1 / 101) < 1e-12 && Math.abs(standardError - 1 / 101) < 1e-12);
});
