import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { bodySnippet, getSnippet, pyValue, rowsSnippet, shortened } from "../../../web/src/api/snippets.ts";

const OPEN = { server: "http://127.0.0.1:8080/", keyed: false };
const KEYED = { server: "https://example.org/pursuit/", keyed: true };
const ROW = Float32Array.of(0.1, -2);

/** What a shell makes of a line: the arguments of curl. */
function argumentsOf(curl: string): string[] {
  const script = `curl() { printf '%s\\0' "$@"; }\n${curl}`;
  return spawnSync("sh", ["-c", script], { encoding: "utf8", env: { KEY: "the key" } })
    .stdout.split("\0")
    .slice(0, -1);
}

describe("a request as curl", () => {
  it("posts rows and fields, quoted for a shell", () => {
    const fields = { budget: { max_atoms: 3 }, note: "it's" };
    const { curl } = rowsSnippet(OPEN, "v1/dictionaries/a/encode", { row: ROW }, fields, () => []);
    expect(argumentsOf(curl)).toEqual([
      "-s",
      "http://127.0.0.1:8080/v1/dictionaries/a/encode",
      "-H",
      "content-type: application/json",
      "-d",
      '{"inputs":[[0.1,-2]],"budget":{"max_atoms":3},"note":"it\'s"}',
    ]);
  });

  it("sends the key of the environment where the server requires one, and goes through a proxy's path", () => {
    const { curl } = getSnippet(KEYED, "v1/dictionaries/a/features?query=cut%20of&limit=20", null);
    expect(argumentsOf(curl)).toEqual([
      "-s",
      "-H",
      "authorization: Bearer the key",
      "https://example.org/pursuit/v1/dictionaries/a/features?query=cut%20of&limit=20",
    ]);
  });

  it("names another method", () => {
    expect(argumentsOf(bodySnippet(OPEN, "PUT", "v1/x", { text: "a" }).curl)).toContain("PUT");
  });
});

describe("a request as Python", () => {
  it("takes the row's numbers, or its place in the person's file", () => {
    const call = (rows: string): string[] => [`codes = client.encode("a", ${rows})`];
    const { python } = rowsSnippet(OPEN, "v1/dictionaries/a/encode", { row: ROW }, {}, call);
    expect(python).toBe(
      `import numpy as np\nfrom pursuit_client import Client\n\nclient = Client("http://127.0.0.1:8080")\nrows = np.array([[0.1,-2]], dtype=np.float32)\ncodes = client.encode("a", rows)`,
    );
    const file = { name: "acts.npy", index: 4 };
    expect(rowsSnippet(KEYED, "v1/x", { row: ROW, file }, {}, call).python).toContain(
      'rows = np.load("acts.npy")[4:5]',
    );
  });

  it.each([
    getSnippet(KEYED, "v1/x", null),
    getSnippet(OPEN, "v1/x", "dictionaries()"),
    bodySnippet(KEYED, "POST", "v1/x", { a: [true, null, "é'\""] }),
  ])("is a program that Python can read", ({ python }) => {
    const { status, stderr, error } = spawnSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], {
      input: python,
      encoding: "utf8",
    });
    if (error) return console.log("SKIPPED: there is no python3");
    expect([status, stderr]).toEqual([0, ""]);
  });

  it("writes JSON's values in its own way", () => {
    expect(pyValue({ a: [true, false, null, 1.5, "x"] })).toBe('{"a": [True, False, None, 1.5, "x"]}');
  });
});

it("long lists of numbers are shown short", () => {
  expect(shortened('{"inputs":[[0.1,-2,3e-7,4,5]],"k":[1,2]}')).toBe('{"inputs":[[0.1,-2,3e-7,…]],"k":[1,2]}');
});
