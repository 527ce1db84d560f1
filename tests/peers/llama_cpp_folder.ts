/**
 * Prints the folder of llama.cpp's libraries, which the npm package brings. A process of its own, since it has a configuration of its own:
 * what only tests need is fetched when they need it.
 */

await import("@node-llama-cpp/linux-x64"); // fetches the package
console.log(new URL("../bins/linux-x64/", import.meta.resolve("@node-llama-cpp/linux-x64")).pathname);
