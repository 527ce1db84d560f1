/**
 * What the readers of model files know, as Markdown: one table for each kind of file, from the tables that the readers use.
 *
 * @module
 */

import { fieldsMarkdown, type FieldTable } from "../io/fields.ts";
import { ignoredTensors, tiedHead } from "../llama/checkpoint_tensors.ts";
import { companionFiles, generationConfigFields } from "../llama/companions.ts";
import { configFields, ropeFields } from "../llama/config_fields.ts";
import { families, familyNames } from "../llama/families.ts";
import { ggufFields } from "../llama/gguf_fields.ts";
import { ggufName, ropeFactorsName } from "../llama/gguf_names.ts";
import { layerLinears, parameterShapes } from "../llama/parameters.ts";
import { bitnetFields } from "../pipeline/pack_bitnet.ts";
import {
  addedTokenFields,
  decoderFields,
  modelFields,
  normalizerFields,
  postProcessorFields,
  preTokenizerFields,
  tokenizerConfigFields,
  tokenizerFields,
} from "../tokenizer/fields.ts";
import { ggufTokenizerFields } from "../tokenizer/gguf_fields.ts";

/** A heading, a sentence, and a table. */
interface Section {
  readonly title: string;
  readonly says: string;
  readonly table: string;
}

const section = (title: string, says: string, fields: FieldTable): Section => ({ title, says, table: fieldsMarkdown(fields) });

/** Names of all parameters that any family has, with those that GGUF has for them. */
function parameterTable(): string {
  const sizes = { vocabularySize: 2, hiddenSize: 2, layers: 1, heads: 1, keyValueHeads: 1, headDim: 2, intermediateSize: 2 };
  const names = Object.keys(
    parameterShapes({
      ...sizes,
      ...{ normEpsilon: 0, ropeTheta: 1, tieEmbeddings: false, maxPositions: 1, biases: layerLinears, queryKeyNorms: true },
    }),
  );
  const rows = names.map((name) => {
    const numbered = (text: string) => text.replace(/(layers|blk)\.0/, "$1.N");
    return `| \`${numbered(name)}\` | \`${numbered(ggufName(name))}\` |`;
  });
  return ["| in a checkpoint | in GGUF |", "| --- | --- |", ...rows, `| (config.json) | \`${ropeFactorsName}\` |`].join("\n");
}

function familyTable(): string {
  const rows = familyNames.map((name) => {
    const { architecture, gguf, queryKeyNorms, ggufBiases } = families[name];
    return `| \`${name}\` | ${architecture} | \`${gguf}\` | ${queryKeyNorms ? "yes" : "no"} | ${
      ggufBiases.join(", ") || "none"
    } |`;
  });
  return [
    "| model_type | class in transformers | in GGUF | norms of q and k | biases that GGUF has |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ]
    .join("\n");
}

function sections(): Section[] {
  const shared = configFields("llama");
  const different = familyNames.slice(1).map((name) =>
    section(`config.json of a ${name} model`, "What differs from a Llama.", families[name].fields)
  );
  return [
    { title: "Families", says: "Models that are read, trained, packed and written.", table: familyTable() },
    section("config.json", "As transformers 4 and 5 write it. What is not listed is refused.", shared),
    ...different,
    section("rope_scaling and rope_parameters in config.json", "A scaling that is not complete is refused.", ropeFields),
    section("quantization_config in config.json", "Of a folder that is packed for transformers' bitnet.", bitnetFields),
    section("generation_config.json", "Its end tokens count besides those of config.json.", generationConfigFields),
    { title: "Tensors", says: "Names in checkpoints and in GGUF; any other is refused.", table: parameterTable() },
    section("Tensors of a checkpoint besides", `A \`${tiedHead}\` that is tied must equal the embedding.`, ignoredTensors),
    section("Metadata of GGUF", "`llama` stands for the architecture.", ggufFields("llama")),
    section(
      "Metadata of GGUF, the tokenizer",
      "What llama.cpp would do otherwise is refused when a file is written.",
      ggufTokenizerFields,
    ),
    section("tokenizer.json", "Other kinds of its parts than those below are refused.", tokenizerFields),
    section("added_tokens in tokenizer.json", "Each is a token beside the model.", addedTokenFields),
    ...tokenizerParts.flatMap(([field, types]) =>
      Object.entries(types).map(([type, fields]) =>
        section(`${field} in tokenizer.json: ${type}`, "Where it is of that type.", fields)
      )
    ),
    section("tokenizer_config.json", "What it says counts besides tokenizer.json.", tokenizerConfigFields),
  ];
}

const tokenizerParts = Object.entries({
  normalizer: normalizerFields,
  pre_tokenizer: preTokenizerFields,
  model: modelFields,
  post_processor: postProcessorFields,
  decoder: decoderFields,
});

/** All tables, with a heading each. */
export function schemaMarkdown(): string {
  const kept = `Kept beside the weights as they came: ${companionFiles.map((name) => `\`${name}\``).join(", ")}.`;
  const parts = sections().map(({ title, says, table }) => `## ${title}\n\n${says}\n\n${table}`);
  return ["# What the readers of model files know", kept, ...parts].join("\n\n");
}
