import { homedir } from "node:os";
import { join } from "node:path";
import { Fault } from "../engine/core/errors.ts";
import type { HubSettings } from "../engine/dictionaries/hub/hub-settings.ts";

/** Variables that hold a token for the hub. */
export const HUB_TOKENS = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] as const;

const DEFAULT_ENDPOINT = "https://huggingface.co";
/** As in Hugging Face's own client. */
const DEFAULT_TIMEOUT_S = 10;

/**
 * The hub's settings from Hugging Face's own variables: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, and
 * HF_HUB_CACHE, HF_HOME or XDG_CACHE_HOME for the cache.
 * @param cacheDir in place of the variables'
 * @throws Fault with all faults
 */
export function resolveHubSettings(
  environment: Readonly<Record<string, string | undefined>>,
  cacheDir?: string,
): HubSettings {
  const faults: string[] = [];
  // An empty variable is as good as none.
  const get = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const endpoint = (get("HF_ENDPOINT") ?? DEFAULT_ENDPOINT).replace(/\/+$/, "");
  if (!isEndpoint(endpoint))
    faults.push("HF_ENDPOINT must be a hub's address such as https://huggingface.co, without a password.");
  const token = HUB_TOKENS.map(get).find((one) => one !== undefined);
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) faults.push("HF_TOKEN holds characters that no token has.");
  const seconds = Number(get("HF_HUB_DOWNLOAD_TIMEOUT") ?? DEFAULT_TIMEOUT_S);
  if (!(seconds > 0 && seconds <= 86_400)) faults.push("HF_HUB_DOWNLOAD_TIMEOUT must be a number of seconds above 0.");
  if (faults.length > 0) throw new Fault("settings", faults);
  const home = get("HF_HOME") ?? join(get("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface");
  return {
    endpoint,
    ...(token !== undefined && { token }),
    cacheDir: cacheDir ?? get("HF_HUB_CACHE") ?? get("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub"),
    offline: /^(?:1|on|yes|true)$/i.test(get("HF_HUB_OFFLINE") ?? ""),
    timeoutMs: Math.ceil(seconds * 1000),
  };
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && username + password + search + hash === "";
}
