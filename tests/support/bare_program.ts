/** What a program of the library does that is permitted nothing: it trains, packs, opens, generates. Prints the backend that did it. */

import { backendInfo, batches, byteTokenizer, generate, initialModel, openPacked, pack, train } from "../../mod.ts";

const size = { vocabularySize: 256, hiddenSize: 32, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 };
let model = initialModel(size, { seed: 1 });
const data = batches(byteTokenizer.encode("Call me Ishmael. Some years ago"), { batchSize: 1, sequenceLength: 7, seed: 1 });
for await (const event of train(model, data, { quantizer: "hestia", groupSize: 32, steps: 2 })) {
  if (event.type === "end") model = event.model;
}
const bytes = await pack(
  { ...model, tokenizer: byteTokenizer },
  { quantization: { quantizer: "hestia", groupSize: 32 }, format: "dense" },
);
let text = "";
for await (const piece of generate(await openPacked(bytes), "Call me", { maxTokens: 3, temperature: 0 })) text += piece;
console.log(JSON.stringify({ backend: (await backendInfo()).name, text }));
