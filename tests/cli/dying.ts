/**
 * Loaded before a command: ends the process, as `kill -9` does, at its n-th write to a folder. `DIE_AT` says n.
 *
 * @module
 */

let left = Number(Deno.env.get("DIE_AT"));

// deno-lint-ignore no-explicit-any
const counted = (operation: any) =>
  function (this: unknown, ...args: unknown[]) {
    if (--left === 0) Deno.kill(Deno.pid, "SIGKILL");
    return operation.apply(this, args);
  };

for (const name of ["mkdir", "rename", "remove"] as const) (Deno as Record<string, unknown>)[name] = counted(Deno[name]);
const { write, sync, writeSync } = Deno.FsFile.prototype;
Object.assign(Deno.FsFile.prototype, { write: counted(write), sync: counted(sync), writeSync: counted(writeSync) });
