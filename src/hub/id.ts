/**
 * Names of models and data sets on the Hub.
 *
 * @module
 */

/** What a name stands for. */
export interface HubId {
  readonly kind: "model" | "dataset";
  /** "meta-llama/Llama-3.2-1B". */
  readonly name: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** The files wanted of a data set, as a path with `*` and `**`; all that can be read where it is absent. */
  readonly files?: string;
}

const DATASET = "dataset:";
const OWNER_AND_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Ends of names of files; what ends so is the path of one, and no model. */
const FILE = /\.(gguf|safetensors|json|bin|txt|md|jsonl|parquet|gz|zst)$/i;

/**
 * The model that a text may name: `owner/name`, perhaps with `@revision`. Undefined for what can only be a path.
 *
 * @example
 * ```ts
 * import { modelId } from "./id.ts";
 *
 * console.log(modelId("HuggingFaceTB/SmolLM2-135M@main")?.name); // HuggingFaceTB/SmolLM2-135M
 * console.log(modelId("./runs/mine")); // undefined
 * ```
 */
export function modelId(text: string, revision?: string): HubId | undefined {
  const [name, typed] = splitRevision(text);
  if (!OWNER_AND_NAME.test(name) || FILE.test(name)) return undefined;
  return { kind: "model", name, revision: typed ?? revision ?? "main" };
}

/**
 * The data set that a text names: `dataset:owner/name`, perhaps with `@revision`, perhaps with a path of files after it:
 * `dataset:HuggingFaceFW/fineweb-edu@main/sample/10BT/*.parquet`. Undefined for what does not begin with `dataset:`.
 *
 * @throws {RangeError} Where what follows is no name.
 */
export function datasetId(text: string, revision?: string): HubId | undefined {
  if (!text.startsWith(DATASET)) return undefined;
  const [owner = "", second = "", ...files] = text.slice(DATASET.length).split("/");
  const [name, typed] = splitRevision(`${owner}/${second}`);
  if (!OWNER_AND_NAME.test(name)) {
    throw new RangeError(`Cannot read the name "${text}": wanted dataset:owner/name, such as dataset:HuggingFaceFW/fineweb-edu`);
  }
  const path = files.join("/");
  return { kind: "dataset", name, revision: typed ?? revision ?? "main", ...(path === "" ? {} : { files: path }) };
}

function splitRevision(text: string): [name: string, revision: string | undefined] {
  const at = text.indexOf("@");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1) || undefined];
}
