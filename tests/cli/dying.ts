/**
 * Loaded before a command: ends the process, as `kill -9` does, at its n-th write to a folder, or fills the disk then. `DIE_AT` and `FULL_AT`
 * say n.
 *
 * @module
 */

let left = Number(Deno.env.get("DIE_AT") ?? 0);
let free = Number(Deno.env.get("FULL_AT") ?? Infinity);

// deno-lint-ignore no-explicit-any
const counted = (operation: any, isWrite = false) =>
  function (this: unknown, ...args: unknown[]) {
    if (--left === 0) Deno.kill(Deno.pid, "SIGKILL");
    if (--free < 0 && isWrite) throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    return operation.apply(this, args);
  };

for (const name of ["mkdir", "rename", "remove"] as const) (Deno as Record<string, unknown>)[name] = counted(Deno[name]);
const { write, sync, writeSync } = Deno.FsFile.prototype;
Object.assign(Deno.FsFile.prototype, { write: counted(write, true), sync: counted(sync), writeSync: counted(writeSync, true) });
