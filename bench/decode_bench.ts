/** Decoding, one token after another: the quickstart's model, and one whose weights outweigh everything else. */

import { initialModel, type NewLlamaConfig, type Tensor } from "../mod.ts";
import quickstart from "../configs/quickstart.json" with { type: "json" };
import { Decoder } from "../src/llama/decode.ts";
import { benchAll, runner, type Work } from "./measure.ts";

const floatBytes = 4;
const length = 256; // of the cache

/** Ids stay on the device, so a repetition is one submission. What must move is every weight once. */
function decoding(name: string, config: NewLlamaConfig): Work {
  const model = initialModel(config, { seed: 1 });
  const weights = Object.values(model.parameters).reduce((sum, { size }) => sum + size, 0);
  return {
    name: `a token of ${name}, ${(weights / 1e6).toFixed(1)} M weights`,
    amount: { bytes: floatBytes * weights },
    prepare() {
      const decoder = new Decoder(model, { length, seed: 1 });
      let id: Tensor | undefined;
      let draw = 0;
      return Promise.resolve(runner(() => {
        const next = id && draw % (length / 2) ? decoder.next(id, { draw }) : decoder.start([1], { draw });
        id?.dispose();
        id = next;
        draw++;
      }));
    },
  };
}

benchAll("decode", [
  decoding("the quickstart", { vocabularySize: 256, ...quickstart.model }),
  decoding("a wider model", {
    vocabularySize: 4096,
    hiddenSize: 512,
    layers: 4,
    heads: 8,
    keyValueHeads: 4,
    intermediateSize: 1536,
  }),
]);
