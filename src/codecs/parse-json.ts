import { WireError } from "./codec-error.ts";
import type { Extent } from "./extent.ts";
import { measureJson } from "./measure-json.ts";

/**
 * JSON of a request body, or of what else its messages are to name.
 * @param extent what it may hold; counted before it is parsed
 * @throws WireError PURSUIT_TOO_DEEP, PURSUIT_BODY_TOO_LARGE, PURSUIT_NAN_TOKEN, PURSUIT_MALFORMED_BODY
 */
export function parseJson(bytes: Uint8Array, extent: Extent, what = "The body"): unknown {
  measureJson(bytes, extent, what);
  const text = decodeUtf8(bytes, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw explain(text, error as Error, what);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new WireError("PURSUIT_MALFORMED_BODY", `${what} is not JSON: it is not UTF-8.`);
  }
}

const NAN_TOKEN = /(?:NaN|Infinity)\b/y;

/**
 * The first token outside of strings that Python's json writes and JSON does not have. By hand: an expression that also
 * matches strings backtracks over a string that was cut off, once for each of its quotes and its characters.
 */
function findNanToken(text: string): string | null {
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if ((character === "N" || character === "I") && !/\w/.test(text[i - 1] ?? "")) {
      NAN_TOKEN.lastIndex = i;
      const [token] = NAN_TOKEN.exec(text) ?? [];
      if (token !== undefined) return text[i - 1] === "-" ? `-${token}` : token;
    }
  }
  return null;
}

function explain(text: string, error: Error, what: string): WireError {
  const token = findNanToken(text);
  if (token !== null) {
    const hint = "Python's json module writes it; clean the rows (numpy.nan_to_num) or drop them";
    return new WireError("PURSUIT_NAN_TOKEN", `${what} holds the token ${token}, which JSON does not have. ${hint}.`);
  }
  if (text.trim() === "") return new WireError("PURSUIT_MALFORMED_BODY", "The body is empty; send a JSON object.");
  const position = /at position (\d+)/.exec(error.message)?.[1];
  // V8 gives the position of most faults; of an unexpected token it quotes the text instead.
  const cut = position === undefined ? /end of JSON/.test(error.message) : Number(position) >= text.trimEnd().length;
  if (cut) {
    return new WireError(
      "PURSUIT_MALFORMED_BODY",
      `${what} is not JSON: it ends in the middle, after ${text.length} characters. Was it cut off?`,
    );
  }
  return new WireError("PURSUIT_MALFORMED_BODY", `${what} is not JSON: ${error.message}.`);
}
