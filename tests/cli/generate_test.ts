import { chat } from "../../src/cli/chat.ts";
import { loadCheckpoint } from "../../src/llama/checkpoint.ts";
import { generate } from "../../src/llama/generate.ts";
import { type ChatMessage, renderChat } from "../../src/tokenizer/chat.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import { pack } from "../../src/pipeline/pack.ts";
import { deepEqual, equal, match, rejects } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "hestia", groupSize: 64 } };

Deno.test("deno task generate continues a prompt, the same for a checkpoint and its packed model", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeFile(`${folder}/model.gguf`, await pack(model));
    const args = ["--prompt", "Call me", "--max-tokens", "12", "--temperature", "0"];
    const plain = await runCommand("generate", ["--model", folder, ...args]);
    equal(plain.code, 0, plain.stderr);
    match(
      plain.stdout,
      /^Call me[^]*\n12 tokens: the first after \d+\.\d s, 7 of the prompt at \d+\.\d tokens\/s, then \d+\.\d tokens\/s\n$/,
    );
    const packed = await runCommand("generate", ["--model", `${folder}/model.gguf`, ...args, "--json"]);
    const { text, tokens } = lastJson(packed) as { text: string; tokens: number };
    equal(tokens, 12);
    equal(plain.stdout.split("\n12 tokens:")[0], `Call me${text}`);
    match(packed.stderr, /^Call me/);
    const whole = await runCommand("generate", ["--model", `${folder}/model.gguf`, ...args, "--activations", "int8"]);
    match(whole.stdout, /^Call me[^]*\n12 tokens: /);
  }));

Deno.test("a model that says more than is understood is refused, unless that is allowed", () =>
  withModelFolder(model, async (folder) => {
    const config = JSON.parse(await Deno.readTextFile(`${folder}/model/config.json`));
    await Deno.writeTextFile(`${folder}/model/config.json`, JSON.stringify({ ...config, query_scale: 2 }));
    const args = ["--model", folder, "--max-tokens", "1", "--temperature", "0"];
    const refused = await runCommand("generate", args);
    equal(refused.code, 2);
    match(
      refused.stderr,
      /^error: cannot load .*: query_scale in config\.json is not known, got 2; remove it .*allow-unknown\)\n$/,
    );
    const allowed = await runCommand("generate", [...args, "--allow-unknown"]);
    equal(allowed.code, 0, allowed.stderr);
    match(allowed.stderr, /^warning: Cannot load .*: query_scale in config\.json is not known, got 2: it is passed over\n/);
  }));

Deno.test("prompts may begin with a dash, after -- or =, and may be words of their own", () =>
  withModelFolder(model, async (folder) => {
    const args = ["--model", folder, "--max-tokens", "2", "--temperature", "0", "--json"];
    for (const more of [["--prompt=-x"], ["--", "-x"]]) {
      const { code, stderr, ...rest } = await runCommand("generate", [...args, ...more]);
      equal(code, 0, stderr);
      equal((lastJson({ code, stderr, ...rest }) as { prompt: string }).prompt, "-x");
    }
    const twice = await runCommand("generate", [...args, "--prompt", "a", "b"]);
    equal(twice.stderr, "error: TEXT and --prompt say the same: wanted one of them\n");
  }));

/** A template that marks who speaks, and ends each message by a line feed. */
const chatTemplate = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}assistant: {% endif %}";

Deno.test("a model talks by its chat template: each line is a message, and it reads all that was said", () =>
  withModelFolder({ ...model, chatTemplate, endTokens: [10] }, async (folder) => {
    const args = ["--model", folder, "--chat", "--max-tokens", "4", "--temperature", "0", "--system", "Be brief.", "--json"];
    const { code, stderr, ...rest } = await runCommand("generate", args, { stdin: "Hi\n\n Who are you? \n/exit\nnever read\n" });
    equal(code, 0, stderr);
    const { messages } = lastJson({ code, stderr, ...rest }) as { messages: { role: string; content: string }[] };
    deepEqual(messages.map(({ role }) => role), ["system", "user", "assistant", "user", "assistant"]);
    deepEqual([0, 1, 3].map((at) => messages[at].content), ["Be brief.", "Hi", "Who are you?"]);
    const opened = await loadCheckpoint(`${folder}/model`);
    const said: ChatMessage[] = [];
    for (const message of messages) {
      if (message.role === "assistant") {
        const prompt = await renderChat(chatTemplate, said, { addGenerationPrompt: true });
        const pieces = generate(roundedModel(opened), prompt, { maxTokens: 4, temperature: 0 });
        equal(message.content, (await Array.fromAsync(pieces)).join("").trim());
      }
      said.push(message);
    }
  }));

Deno.test("a conversation that outgrows the context goes on without its oldest messages", async () => {
  const talker = { ...tinyModel({ layers: 1 }), chatTemplate, endTokens: [10] };
  let written = "";
  const lines = Array.from({ length: 6 }, (_, index) => `${index} ${"x".repeat(50)}`);
  const said = await chat(talker, { lines, write: (text) => written += text, maxTokens: 3, temperature: 0 });
  equal(said.length, 12);
  equal(written.split("\n").length > 6, true);
  await rejects(
    chat(talker, { lines: ["x".repeat(300)], write: () => {}, maxTokens: 3 }),
    /cannot generate: wanted a prompt of at most 256 tokens/,
  );
  const { chatTemplate: _, ...silent } = talker;
  await rejects(chat(silent, { lines: [], write: () => {} }), /the model has no chat template: wanted one that was trained/);
});

Deno.test("deno task generate refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeTextFile(`${folder}/broken.gguf`, "not a model");
    const cases: [string[], RegExp][] = [
      [[], /^error: --model is missing; see deno task generate --help\n$/],
      [
        ["--model", `${folder}/broken.gguf`],
        /^error: cannot read ".*broken\.gguf": wanted it to begin with "GGUF", it begins with 0x20746f6e\n$/,
      ],
      [
        ["--model", folder, "--prompt", "x".repeat(300)],
        /^error: cannot generate: wanted a prompt of at most 256 tokens.* got 300\n$/,
      ],
      [
        ["--model", folder, "--activations", "int8"],
        /^error: --activations int8 is for packed models, and .* is not packed: hestia, group size 64\n$/,
      ],
      [["--model", folder, "--temperatur", "1"], /^error: unknown option --temperatur \(did you mean "--temperature"\?\)/],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await runCommand("generate", args);
      match(stderr, message);
      deepEqual([code, stdout], [2, ""]);
    }
  }));
