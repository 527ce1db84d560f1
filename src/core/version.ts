/**
 * The version of the library.
 *
 * @module
 */

/** As in `deno.json`, which a browser cannot read. */
export const VERSION = "0.1.0";
