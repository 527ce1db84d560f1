/**
 * The assertions of the test suite, in one place, so that another library can take over in one line. All of them compare strictly: the
 * short names are bound to the strict functions here, because Deno's `node:assert/strict` exports some of the loose ones by name.
 *
 * @module
 */

export {
  AssertionError,
  deepStrictEqual,
  deepStrictEqual as deepEqual,
  doesNotMatch,
  doesNotReject,
  doesNotThrow,
  fail,
  ifError,
  match,
  notDeepStrictEqual,
  notDeepStrictEqual as notDeepEqual,
  notStrictEqual,
  notStrictEqual as notEqual,
  ok,
  rejects,
  strictEqual,
  strictEqual as equal,
  throws,
} from "node:assert/strict";
