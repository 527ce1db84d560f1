/** What Hugging Face's parser reads in a GGUF file: `serialize` of `node:v8` on stdout, as some numbers are too large for JSON. */

import { writeSync } from "node:fs";
import { serialize } from "node:v8";
import { gguf } from "@huggingface/gguf";

const { tensorInfos, metadata } = await gguf(Deno.args[0], { allowLocalFile: true });
const bytes = serialize({ tensorInfos, metadata });
for (let written = 0; written < bytes.length;) written += writeSync(1, bytes, written);
