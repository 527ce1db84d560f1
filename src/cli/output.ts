/**
 * Text for stdout and stderr, written whole.
 *
 * @module
 */

const encoder = new TextEncoder();

/** Waits for nobody: what a thread sleeps on. */
const asleep = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes a text to a stream, whole; where a pipe is full, its reader is waited for.
 *
 * @throws Deno.errors where it cannot be written, such as to a pipe that nobody reads any more
 */
export function writeText(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  for (let rest = encoder.encode(text); rest.length > 0;) {
    try {
      rest = rest.subarray(stream.writeSync(rest));
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(asleep, 0, 0, 10);
    }
  }
}

/** What the operating system or the device refused, or what became of a training, in a line; undefined where an error is a defect of the program. */
export function faultOf(error: unknown): string | undefined {
  if (error instanceof Deno.errors.NotCapable) return error.message;
  const { code, message = "", cause } = (error ?? {}) as { code?: unknown; message?: string; cause?: { code?: unknown } };
  if (code === "EPIPE") return "cannot write the output: nobody reads it any more";
  if (code === "ENOSPC" || code === "EDQUOT") return "cannot write the output: the disk is full";
  if (isSystemCode(code)) return `the operating system refused: ${message}`;
  const isKnown = /^(Training diverged|The GPU (is out of memory|was lost))/.test(message) ||
    message.startsWith("Cannot ") && isSystemCode(cause?.code);
  return isKnown ? message.charAt(0).toLowerCase() + message.slice(1).replace(/\s+/g, " ") : undefined;
}

const isSystemCode = (code: unknown): boolean => typeof code === "string" && /^E[A-Z0-9]+$/.test(code);

/**
 * A text in which characters that terminals act upon are spelt out, `\u001b`: what files hold must not clear a screen or change a title.
 * Tabs and ends of lines stay; those of lines go too where it must be one.
 */
export function visible(text: string, { isLine = false }: { readonly isLine?: boolean } = {}): string {
  return text.replace(isLine ? allControls : controls, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// deno-lint-ignore no-control-regex -- these are what it looks for; the last ones turn the direction of writing round
const controls = /[\0-\x08\v-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
// deno-lint-ignore no-control-regex -- and ends of lines
const allControls = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;
