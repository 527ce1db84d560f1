/**
 * What the environment says of the Hub: the variables and files that Hugging Face's own programs go by.
 *
 * @module
 */

/** Where the Hub is, what may be asked of it, and where its files are kept. */
export interface HubSettings {
  /** Address without a slash at its end. */
  readonly endpoint: string;
  /** Absent where there is none. */
  readonly token?: string;
  /** Where the token is from, for messages. */
  readonly tokenSource?: string;
  /** The file in which a token is looked for. */
  readonly tokenPath: string;
  /** The folder that holds `models--owner--name` and the like. */
  readonly cacheFolder: string;
  /** Nothing may be fetched. */
  readonly offline: boolean;
}

/** A lookup of variables, such as `Deno.env`. */
export interface Environment {
  get(name: string): string | undefined;
}

/** Reads the settings. The first variable of a list that is set counts. */
export function hubSettings(environment: Environment = Deno.env): HubSettings {
  const variable = (...names: string[]): string | undefined => names.map((name) => environment.get(name)?.trim()).find(Boolean);
  const userFolder = variable("HOME", "USERPROFILE") ?? ".";
  const home = variable("HF_HOME") ?? `${variable("XDG_CACHE_HOME") ?? `${userFolder}/.cache`}/huggingface`;
  const tokenPath = variable("HF_TOKEN_PATH") ?? `${home}/token`;
  const named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].find((name) => variable(name));
  const token = named ? variable(named) : fileContent(tokenPath);
  return {
    endpoint: (variable("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    ...(token ? { token, tokenSource: named ?? tokenPath } : {}),
    tokenPath,
    cacheFolder: variable("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? `${home}/hub`,
    offline: /^(1|true|yes|on)$/i.test(variable("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") ?? ""),
  };
}

function fileContent(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim() || undefined;
  } catch {
    return undefined; // no file, no token
  }
}
