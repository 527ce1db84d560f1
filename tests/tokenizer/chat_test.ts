import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { encodeChat, renderChat } from "../../src/tokenizer/chat.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, rejects } from "../assert.ts";

/** Turns as ChatML has them, by bytes and two special tokens. */
const template =
  "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const marked =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}\n  {% if message.role == 'assistant' %}\n" +
  "    {% generation %}\n{{ message.content + '<|im_end|>' }}{%- endgeneration -%}\n  {% else %}{{ message.content + '<|im_end|>' }}{% endif %}\n{{ '\\n' }}{% endfor %}";

const messages = [
  { role: "system", content: "Be né." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: " Ho 🐋 " },
  { role: "user", content: "Hi assistant" },
  { role: "assistant", content: "" },
];

async function chatTokenizer(): Promise<Tokenizer> {
  const bytes = byteTokenizer.toJSON();
  const added_tokens = ["<|im_start|>", "<|im_end|>", "<s>"].map((content, index) => ({
    id: 256 + index,
    content,
    special: true,
  }));
  return await loadTokenizer({ ...bytes, added_tokens });
}

/** The text of every turn that is marked. */
function turns(tokenizer: Tokenizer, { ids, isAssistant }: Awaited<ReturnType<typeof encodeChat>>): string[] {
  const found: string[] = [];
  for (const [at, id] of ids.entries()) {
    if (!isAssistant[at]) continue;
    if (!isAssistant[at - 1]) found.push("");
    found.push(found.pop() + "|" + tokenizer.decode([id]));
  }
  return found;
}

Deno.test("a conversation is rendered as its template says", async () => {
  equal(
    await renderChat(template, messages.slice(1, 3), { bosToken: "<s>", addGenerationPrompt: true }),
    "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo 🐋<|im_end|>\n<|im_start|>assistant\n",
  );
  equal(
    await renderChat("{{ tools | length }}{{ flag }}{{ eos_token }}", [], {
      tools: [1, 2],
      variables: { flag: 3 },
      eosToken: "e",
    }),
    "23e",
  );
});

Deno.test("the assistant's turns are marked to the token that ends them, and nothing else", async () => {
  const tokenizer = await chatTokenizer();
  const encoded = await encodeChat(tokenizer, template, messages, { bosToken: "<s>" });
  equal(tokenizer.decode(encoded.ids), await renderChat(template, messages, { bosToken: "<s>" }));
  deepEqual(turns(tokenizer, encoded), ["|H|o| |\ufffd|\ufffd|\ufffd|\ufffd|<|im_end|>", "|<|im_end|>"]);
  equal(encoded.ids[0], 258);
});

Deno.test("marks of the template decide where it has them", async () => {
  const tokenizer = await chatTokenizer();
  const encoded = await encodeChat(tokenizer, marked, messages);
  equal(tokenizer.decode(encoded.ids), await renderChat(marked, messages));
  deepEqual(turns(tokenizer, encoded), ["| |H|o| |\ufffd|\ufffd|\ufffd|\ufffd| |<|im_end|>", "|<|im_end|>"]);
});

/** Ends with the prompt for the assistant whether that is asked for or not, as Llama 3's first one did. */
const alwaysPrompting = template.replace("{% if add_generation_prompt %}", "{% if true %}");
/** Shows thoughts of the last turn alone, as Qwen 3's does. */
const thinking = template.replace(
  "message.content | trim",
  "('<think>x</think>' if message.role == 'assistant' and loop.last else '') + message.content | trim",
);

for (
  const [name, each, last] of [["prompts always", alwaysPrompting, ""], [
    "writes the last turn otherwise",
    thinking,
    "|<|t|h|i|n|k|>|x|<|/|t|h|i|n|k|>",
  ]]
) {
  Deno.test(`a template that ${name} has its turns marked`, async () => {
    const tokenizer = await chatTokenizer();
    const found = turns(tokenizer, await encodeChat(tokenizer, each, messages));
    deepEqual(found, ["|H|o| |\ufffd|\ufffd|\ufffd|\ufffd|<|im_end|>", `${last}|<|im_end|>`]);
  });
}

Deno.test("calls of tools belong to the turn", async () => {
  const tokenizer = await chatTokenizer();
  const calling = template.replace(
    "message.content | trim",
    "message.content | trim + (message.tool_calls[0].name if message.tool_calls else '')",
  );
  const call = [messages[1], { role: "assistant", content: "", tool_calls: [{ name: "now" }] }, {
    role: "tool",
    content: "12:00",
  }];
  deepEqual(turns(tokenizer, await encodeChat(tokenizer, calling, call)), ["|n|o|w|<|im_end|>"]);
});

Deno.test("what cannot be rendered or told apart is an error", async () => {
  await rejects(renderChat("{% for %}", []), { name: "TypeError", message: /^Cannot read the chat template: / });
  await rejects(renderChat("{{ raise_exception('no system') }}", []), { message: /^Cannot render the chat template: no system/ });
  const rewriting = "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}{{ m.content }}{% endif %}{% endfor %}";
  await rejects(encodeChat(byteTokenizer, rewriting, messages), {
    message: /Cannot tell what the assistant says in message 2: .*generation/,
  });
});
