/** The request behind a view, as a line for a shell and as Python. */
import { shortNumbers } from "../rows/row-text.ts";

export interface Snippet {
  readonly curl: string;
  readonly python: string;
}

/** A row that a request holds: its numbers, or the file that they come from. */
export interface RowSource {
  readonly row: Float32Array;
  /** A file of the person's, and the row's place in it. */
  readonly file?: { readonly name: string; readonly index: number };
}

/** A word for a POSIX shell. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

export interface Place {
  readonly server: string;
  /** Whether the server requires a key. */
  readonly keyed: boolean;
}

const IMPORT = "from pursuit_client import Client";

export const clientLine = ({ server, keyed }: Place): string =>
  `client = Client(${py(server.replace(/\/$/, ""))}${keyed ? ', api_key=os.environ["KEY"]' : ""})`;

/** A GET, and what the Python client calls it. */
export function getSnippet(place: Place, path: string, call: string | null): Snippet {
  const quoted = shellWord(place.server + path);
  return {
    curl: `curl -s ${auth(place)}${quoted}`,
    python:
      call === null
        ? lines(
            place.keyed && "import os",
            "import httpx",
            "",
            `headers = ${place.keyed ? '{"authorization": f"Bearer {os.environ[\'KEY\']}"}' : "{}"}`,
            `print(httpx.get(${py(place.server + path)}, headers=headers).json())`,
          )
        : lines(place.keyed && "import os", IMPORT, "", clientLine(place), `print(client.${call})`),
  };
}

/** A POST of rows: encode or steer. */
export function rowsSnippet(
  place: Place,
  path: string,
  source: RowSource,
  fields: Readonly<Record<string, unknown>>,
  call: (rows: string) => readonly string[],
): Snippet {
  const body = JSON.stringify({ inputs: [shortNumbers(source.row)], ...fields });
  const rows = source.file
    ? `rows = np.load(${py(source.file.name)})[${source.file.index}:${source.file.index + 1}]`
    : `rows = np.array([${JSON.stringify(shortNumbers(source.row))}], dtype=np.float32)`;
  return {
    curl: `curl -s ${auth(place)}${shellWord(place.server + path)} \\\n  -H 'content-type: application/json' -d ${shellWord(body)}`,
    python: lines(
      place.keyed && "import os",
      "import numpy as np",
      IMPORT,
      "",
      clientLine(place),
      rows,
      ...call("rows"),
    ),
  };
}

/** A request with a JSON body of no rows. */
export function bodySnippet(place: Place, method: string, path: string, body: unknown): Snippet {
  const text = JSON.stringify(body);
  return {
    curl: `curl -s -X ${method} ${auth(place)}${shellWord(place.server + path)} \\\n  -H 'content-type: application/json' -d ${shellWord(text)}`,
    python: lines(
      place.keyed && "import os",
      "import httpx",
      "",
      `headers = ${place.keyed ? '{"authorization": f"Bearer {os.environ[\'KEY\']}"}' : "{}"}`,
      `print(httpx.${method.toLowerCase()}(${py(place.server + path)}, json=${pyValue(body)}, headers=headers).json())`,
    ),
  };
}

const auth = ({ keyed }: Place): string => (keyed ? '-H "authorization: Bearer $KEY" ' : "");

const lines = (...all: readonly (string | false)[]): string => all.filter((line) => line !== false).join("\n");

/** A Python string. JSON's escapes are Python's, too. */
export const py = (text: string): string => JSON.stringify(text);

/** A JSON value as Python writes it. */
export const pyValue = (value: unknown): string => {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(pyValue).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([name, one]) => `${py(name)}: ${pyValue(one)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
};

/** A long snippet as it is shown: long lists of numbers are shortened; copying takes the whole. */
export const shortened = (text: string): string =>
  text.replaceAll(/(-?\d[\d.e+-]*(?:,\s?-?\d[\d.e+-]*){2}),(?:\s?-?\d[\d.e+-]*,)*\s?-?\d[\d.e+-]*/g, "$1,…");
