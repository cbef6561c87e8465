import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readClasses, readTexts } from "../../src/bulk/read-texts.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();

async function read(name: string, content: string): Promise<string[]> {
  const path = join(folder, name);
  await writeFile(path, content);
  const texts: string[] = [];
  for await (const text of readTexts(path)) texts.push(text);
  return texts;
}

describe("texts of rows", () => {
  it("come from lines, a list, or objects a line", async () => {
    expect(await read("a.txt", "one\ntwo, and more\n\nfour")).toEqual(["one", "two, and more", "", "four"]);
    expect(await read("a.json", '["one", {"text": "two"}]')).toEqual(["one", "two"]);
    expect(await read("a.jsonl", '"one"\n{"text": "two", "id": 3}\n')).toEqual(["one", "two"]);
  });

  it("are the same in each format", async () => {
    const texts = fc.array(
      fc.string({ maxLength: 40 }).filter((text) => !/[\r\n\u2028\u2029]/.test(text)),
      { minLength: 1, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(texts, async (given) => {
        expect(await read("p.json", JSON.stringify(given))).toEqual(given);
        expect(await read("p.jsonl", given.map((text) => JSON.stringify({ text })).join("\n"))).toEqual(given);
      }),
      { numRuns: 20 },
    );
  });

  it.each([
    ["b.json", '{"0": "one"}', "is not a list of texts"],
    ["b.json", '["one", 2]', "entry 1 is neither a text nor an object with a text"],
    ["b.jsonl", '"one"\n{"text"', "line 2 is not JSON"],
    ["b.jsonl", '"one"\n{"words": 3}', "line 2 is neither a text"],
  ])("in %s %s are refused: %s", async (name, content, why) => {
    await expect(read(name, content)).rejects.toThrow(why);
  });
});

describe("classes of rows", () => {
  it("are numbered by their number of rows", async () => {
    const path = join(folder, "classes.txt");
    await writeFile(path, "verb\nnoun\nnoun\nadverb\n");
    expect(await readClasses(path)).toEqual({ names: ["noun", "verb", "adverb"], classOf: Uint32Array.of(1, 0, 0, 2) });
  });
});
