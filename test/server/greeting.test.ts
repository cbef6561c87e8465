import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeFirstRequest } from "../../src/server/greeting.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
const tryable = {
  dictionary: "small",
  sha256: "0123456789abcdef".repeat(4),
  rows: [Float32Array.of(0.1, -2), Float32Array.of(3, 4)],
  texts: ["a", "b"],
  labels: false,
};

/** The words that a shell makes of a line. */
const wordsOf = (line: string): string[] =>
  execFileSync("sh", ["-c", `set -- ${line}; for word; do printf '%s\\n' "$word"; done`], { encoding: "utf8" })
    .trimEnd()
    .split("\n");

describe("the first request", () => {
  it("is a body with the rows, and the line that posts it", async () => {
    const line = await writeFirstRequest("http://127.0.0.1:8080", join(folder, "new", "cache"), tryable);
    const [curl, , url, , header, , body] = wordsOf(line);
    expect([curl, url, header]).toEqual([
      "curl",
      "http://127.0.0.1:8080/v1/dictionaries/small/encode",
      "content-type: application/json",
    ]);
    expect(body).toMatch(/^@/);
    expect(JSON.parse(readFileSync(body!.slice(1), "utf8"))).toEqual({
      inputs: [
        [0.1, -2],
        [3, 4],
      ],
      budget: { max_atoms: 8 },
      include: ["summary"],
    });
    expect(readdirSync(join(folder, "new", "cache"))).toEqual(["try-small-0123456789ab.json"]);
  });

  it("asks for labels where there are any", async () => {
    const line = await writeFirstRequest("http://x", join(folder, "labelled"), { ...tryable, labels: true });
    const request = readFileSync(wordsOf(line).at(-1)!.slice(1), "utf8");
    expect(JSON.parse(request)).toMatchObject({ include: ["labels", "summary"] });
  });

  it("can be pasted into a shell wherever the cache folder lies", async () => {
    const cache = join(folder, "it's a cache; $(touch x) & more");
    const body = wordsOf(await writeFirstRequest("http://127.0.0.1:1", cache, tryable)).at(-1)!;
    expect(JSON.parse(readFileSync(body.slice(1), "utf8"))).toHaveProperty("inputs");
  });

  it("names the file from where the server was started, where that is shorter", async () => {
    const cache = join(process.cwd(), "node_modules", ".cache-of-a-test");
    const line = await writeFirstRequest("http://x", cache, tryable);
    expect(line).toMatch(/@node_modules\/\.cache-of-a-test\/try-small-0123456789ab\.json$/);
    rmSync(cache, { recursive: true });
  });
});
