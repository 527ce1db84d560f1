/**
 * llama.cpp itself, called through its C interface: the libraries that npm `@node-llama-cpp/linux-x64` brings. Sizes of structures are those
 * of the pinned version.
 *
 * @module
 */

import { ok } from "../assert.ts";
import { askPeer } from "./peers.ts";

/** Why tests that need llama.cpp are left out on this machine; undefined where it must be there. */
export const noLlamaCpp = Deno.build.os === "linux" && Deno.build.arch === "x86_64"
  ? undefined
  : "llama.cpp comes prebuilt for Linux on x64 only";

const row = { parameters: ["buffer", "buffer", "i64"], result: "void" } as const;

const ggmlSymbols = {
  dequantize_row_tq1_0: row,
  dequantize_row_tq2_0: row,
  dequantize_row_q2_0: row,
  dequantize_row_q4_0: row,
  dequantize_row_q5_0: row,
  dequantize_row_q8_0: row,
  dequantize_row_q4_K: row,
  dequantize_row_q6_K: row,
  quantize_row_tq1_0_ref: row,
  quantize_row_tq2_0_ref: row,
  quantize_row_q2_0_ref: row,
  quantize_row_q4_0_ref: row,
  quantize_row_q5_0_ref: row,
  quantize_row_q8_0_ref: row,
  quantize_row_q4_K_ref: row,
  quantize_row_q6_K_ref: row,
  ggml_type_size: { parameters: ["i32"], result: "usize" },
  ggml_blck_size: { parameters: ["i32"], result: "i64" },
  ggml_type_name: { parameters: ["i32"], result: "pointer" },
} as const;

/** A structure of so many bytes, passed by value. */
const structure = <const N extends number>(bytes: N) => ({ struct: new Array(bytes / 8).fill("u64") as "u64"[] }) as const;
const [modelParams, contextParams, quantizeParams, batch] = [80, 160, 64, 56].map(structure);

const llamaSymbols = {
  llama_model_default_params: { parameters: [], result: modelParams },
  llama_context_default_params: { parameters: [], result: contextParams },
  llama_model_quantize_default_params: { parameters: [], result: quantizeParams },
  llama_model_load_from_file: { parameters: ["buffer", modelParams], result: "pointer" },
  llama_init_from_model: { parameters: ["pointer", contextParams], result: "pointer" },
  llama_set_n_threads: { parameters: ["pointer", "i32", "i32"], result: "void" },
  llama_batch_get_one: { parameters: ["buffer", "i32"], result: batch },
  llama_decode: { parameters: ["pointer", batch], result: "i32" },
  llama_get_logits_ith: { parameters: ["pointer", "i32"], result: "pointer" },
  llama_model_get_vocab: { parameters: ["pointer"], result: "pointer" },
  llama_vocab_n_tokens: { parameters: ["pointer"], result: "i32" },
  llama_vocab_is_eog: { parameters: ["pointer", "i32"], result: "bool" },
  llama_tokenize: { parameters: ["pointer", "buffer", "i32", "buffer", "i32", "bool", "bool"], result: "i32" },
  llama_model_quantize: { parameters: ["buffer", "buffer", "buffer"], result: "u32" },
  llama_free: { parameters: ["pointer"], result: "void" },
  llama_model_free: { parameters: ["pointer"], result: "void" },
  llama_backend_init: { parameters: [], result: "void" },
  llama_log_set: { parameters: ["pointer", "pointer"], result: "void" },
  llama_max_devices: { type: "pointer" },
} as const;

const loaderSymbols = { ggml_backend_load_all_from_path: { parameters: ["buffer"], result: "void" } } as const;

/** Text as C wants it. */
function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

async function libraryFolder(): Promise<string> {
  return new TextDecoder().decode(await askPeer("llama_cpp_folder")).trim();
}

const loadNow = 2; // RTLD_NOW of Linux
const neverUnload = 0x1000; // RTLD_NODELETE

/**
 * Opens a library that stays until the process ends. Deno closes what a test file opened when it is through, and ggml, loaded once more at
 * the same address, finds its own handler for uncaught exceptions and aborts the process.
 */
function openForGood<T extends Deno.ForeignLibraryInterface>(path: string, symbols: T): Deno.DynamicLibrary<T>["symbols"] {
  const library = Deno.dlopen(path, symbols);
  const libc = Deno.dlopen("libc.so.6", { dlopen: { parameters: ["buffer", "i32"], result: "pointer" } });
  ok(libc.symbols.dlopen(cString(path), loadNow | neverUnload), `${path} cannot be kept`);
  libc.close();
  return library.symbols;
}

/** ggml's own quantizers and dequantizers. Throws where the library is missing. */
export async function openGgml(): Promise<Deno.DynamicLibrary<typeof ggmlSymbols>["symbols"]> {
  return openForGood(`${await libraryFolder()}libggml-base.so`, ggmlSymbols);
}

/** llama.cpp, without a word of its log. */
export class LlamaCpp {
  readonly #library: Deno.DynamicLibrary<typeof llamaSymbols>["symbols"];

  private constructor(library: Deno.DynamicLibrary<typeof llamaSymbols>["symbols"]) {
    this.#library = library;
  }

  /** Loads the libraries. Throws where they are missing. */
  static async open(): Promise<LlamaCpp> {
    const folder = await libraryFolder();
    const symbols = openForGood(`${folder}libllama.v0.5.0.so`, llamaSymbols);
    symbols.llama_log_set(symbols.llama_max_devices, null); // a function that looks at no argument and prints nothing
    openForGood(`${folder}libggml.v0.5.0.so`, loaderSymbols).ggml_backend_load_all_from_path(cString(folder));
    symbols.llama_backend_init();
    return new LlamaCpp(symbols);
  }

  /** Probabilities of the next token after `tokens`, by a model file. */
  nextToken(path: string, tokens: Int32Array<ArrayBuffer>): Float64Array {
    const { model, vocabulary } = this.#load(path);
    const library = this.#library;
    const context = library.llama_init_from_model(model, library.llama_context_default_params());
    ok(context, `llama.cpp makes no context for ${path}`);
    library.llama_set_n_threads(context, 2, 2);
    const status = library.llama_decode(context, library.llama_batch_get_one(tokens, tokens.length));
    ok(status === 0, `llama.cpp fails with ${status} on ${path}`);
    const size = library.llama_vocab_n_tokens(vocabulary);
    const logits = Deno.UnsafePointerView.getArrayBuffer(library.llama_get_logits_ith(context, -1)!, 4 * size);
    const probabilities = softmax(new Float32Array(logits));
    library.llama_free(context);
    library.llama_model_free(model);
    return probabilities;
  }

  /** Logits after each token of a row, one row of the vocabulary after another. */
  logits(path: string, tokens: Int32Array<ArrayBuffer>): Float32Array[] {
    const { model, vocabulary } = this.#load(path);
    const library = this.#library;
    const context = library.llama_init_from_model(model, library.llama_context_default_params());
    ok(context, `llama.cpp makes no context for ${path}`);
    library.llama_set_n_threads(context, 2, 2);
    const asked = new Int8Array(tokens.length).fill(1); // all of them, not the last alone
    const batch = library.llama_batch_get_one(tokens, tokens.length);
    const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(asked));
    new DataView(batch.buffer, batch.byteOffset).setBigUint64(48, BigInt(pointer), true);
    const status = library.llama_decode(context, batch);
    ok(status === 0, `llama.cpp fails with ${status} on ${path}`);
    const size = library.llama_vocab_n_tokens(vocabulary);
    const rows = Array.from(tokens, (_, at) => {
      const row = Deno.UnsafePointerView.getArrayBuffer(library.llama_get_logits_ith(context, at)!, 4 * size);
      return new Float32Array(row).slice();
    });
    library.llama_free(context);
    library.llama_model_free(model);
    return rows;
  }

  /** A model file and a context, on two threads, to time. */
  session(path: string): { prompt(tokens: Int32Array<ArrayBuffer>): void; next(token: number): void; close(): void } {
    const { model } = this.#load(path);
    const library = this.#library;
    const decode = (context: Deno.PointerObject, tokens: Int32Array<ArrayBuffer>) => {
      const status = library.llama_decode(context, library.llama_batch_get_one(tokens, tokens.length));
      ok(status === 0, `llama.cpp fails with ${status} on ${path}`);
      ok(library.llama_get_logits_ith(context, -1), `llama.cpp gives no logits for ${path}`); // waits for them
    };
    let context: Deno.PointerObject | undefined;
    const close = () => context && library.llama_free(context);
    return {
      prompt(tokens) {
        close();
        context = library.llama_init_from_model(model, library.llama_context_default_params())!;
        library.llama_set_n_threads(context, 2, 2);
        decode(context, tokens);
      },
      next: (token) => decode(context!, Int32Array.of(token)),
      close() {
        close();
        library.llama_model_free(model);
      },
    };
  }

  /** The tokenizer of a file, which needs no tensors. */
  tokenizer(path: string): LlamaCppTokenizer {
    const library = this.#library;
    const { model, vocabulary } = this.#load(path, { vocabularyOnly: true });
    return {
      encode(text, { parseSpecial = false, addSpecial = false } = {}) {
        const bytes = cString(text);
        const ids = new Int32Array(2 * bytes.length + 8);
        const count = library.llama_tokenize(vocabulary, bytes, bytes.length - 1, ids, ids.length, addSpecial, parseSpecial);
        ok(count >= 0, `llama.cpp makes ${-count} tokens of ${bytes.length} bytes`);
        return ids.subarray(0, count);
      },
      isEnd: (id) => library.llama_vocab_is_eog(vocabulary, id),
      [Symbol.dispose]: () => library.llama_model_free(model),
    };
  }

  /** What `llama-quantize` does: `fileType` is its number of the whole file's type. */
  quantize(source: string, target: string, fileType: number): void {
    const params = this.#library.llama_model_quantize_default_params();
    const view = new DataView(params.buffer, params.byteOffset);
    view.setInt32(0, 2, true); // threads
    view.setInt32(4, fileType, true);
    const status = this.#library.llama_model_quantize(cString(source), cString(target), params);
    ok(status === 0, `llama.cpp cannot quantize ${source} to file type ${fileType}: ${status}`);
  }

  #load(path: string, { vocabularyOnly = false } = {}): { model: Deno.PointerObject; vocabulary: Deno.PointerObject } {
    const library = this.#library;
    const params = library.llama_model_default_params();
    if (vocabularyOnly) params[72] = 1; // vocab_only
    const model = library.llama_model_load_from_file(cString(path), params);
    if (model === null) throw new Error(`llama.cpp does not load ${path}`);
    return { model, vocabulary: library.llama_model_get_vocab(model)! };
  }
}

/** A tokenizer as llama.cpp has it. */
export interface LlamaCppTokenizer extends Disposable {
  /** Token ids of a text. */
  encode(text: string, options?: { readonly parseSpecial?: boolean; readonly addSpecial?: boolean }): Int32Array;
  /** Whether a token ends a text. */
  isEnd(id: number): boolean;
}

/** exp(logits) over their sum. */
export function softmax(logits: ArrayLike<number>): Float64Array {
  const most = Array.from(logits).reduce((largest, value) => Math.max(largest, value), -Infinity);
  const weights = Float64Array.from(logits, (value) => Math.exp(value - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}
