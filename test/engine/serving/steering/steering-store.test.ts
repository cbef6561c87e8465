import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSetFile, setFileText } from "../../../../src/engine/serving/steering/set-file.ts";
import { SteeringStore } from "../../../../src/engine/serving/steering/steering-store.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const SET = { sha256: "ab".repeat(32), edits: [{ feature: 1, op: "add", value: 0.1 } as const] };
const root = temporaryFolder();
let made = 0;
const fresh = (): string => join(root, String(made++), "deep", "steering");

async function open(folder: string): Promise<{ store: SteeringStore; log: string[] }> {
  const log: string[] = [];
  return { store: await SteeringStore.open(folder, (_level, message) => log.push(message)), log };
}

describe("SteeringStore", () => {
  it("makes its folder when something is kept, and has it again", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    expect(existsSync(folder)).toBe(false);
    await store.change("one", "a", () => SET);
    await store.change("one", "b", (present) => present ?? SET);
    await store.change("two", "a", () => SET);
    await store.change("one", "a", () => null);
    const again = await open(folder);
    expect([...again.store.of("one")]).toEqual([["b", SET]]);
    expect([...again.store.of("two")]).toEqual([["a", SET]]);
    expect([...again.store.of("three")]).toEqual([]);
    expect([...log, ...again.log]).toEqual([]);
    expect(readdirSync(join(folder, "one"))).toEqual(["b.json"]);
  });

  it("shows each change what the one before it left", async () => {
    const { store } = await open(fresh());
    const grow = (): Promise<void> =>
      store.change("one", "a", (present) => ({ ...SET, edits: [...(present?.edits ?? []), ...SET.edits] }));
    await Promise.all(Array.from({ length: 20 }, grow));
    expect(store.of("one").get("a")!.edits).toHaveLength(20);
  });

  it("leaves everything as it was when a change is refused", async () => {
    const folder = fresh();
    const { store } = await open(folder);
    await store.change("one", "a", () => SET);
    const refused = store.change("one", "a", () => {
      throw new Error("no");
    });
    await expect(refused).rejects.toThrow("no");
    await store.change("one", "b", () => SET);
    expect([...(await open(folder)).store.of("one").keys()]).toEqual(["a", "b"]);
  });

  it("rebinds the sets of one digest to another, once and on disk", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    const [old, other, next] = ["ab", "cd", "ef"].map((pair) => pair.repeat(32)) as [string, string, string];
    await store.change("one", "a", () => SET);
    await store.change("one", "b", () => ({ ...SET, sha256: other }));
    await store.change("two", "a", () => SET);
    await store.rebind("one", old, next);
    await store.rebind("none", old, next);
    const again = await open(folder);
    for (const read of [store, again.store]) {
      expect([...read.of("one")]).toEqual([
        ["a", { ...SET, sha256: next }],
        ["b", { ...SET, sha256: other }],
      ]);
      expect(read.of("two").get("a")).toEqual(SET);
    }
    expect(log).toEqual(["The steering set a of one is now bound to the sha256 of its version."]);
    await again.store.rebind("one", old, next);
    expect(again.log).toEqual([]);
  });

  it("leaves a set that cannot be rebound as it was, with a line", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    await store.change("one", "a", () => SET);
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "in the way");
    await store.rebind("one", SET.sha256, "ef".repeat(32));
    expect(store.of("one").get("a")).toEqual(SET);
    expect(log.at(-1)).toMatch(/The steering set a of one stays stale: .*state folder cannot be written/);
  });

  it("sets torn and foreign files aside with a line, and starts", async () => {
    const folder = fresh();
    const { store } = await open(folder);
    for (const name of ["good", "torn", "empty"]) await store.change("one", name, () => SET);
    const at = (file: string): string => join(folder, "one", file);
    truncateSync(at("torn.json"), 40);
    truncateSync(at("empty.json"), 0);
    writeFileSync(at("edited.json"), setFileText(SET).replace("0.1", "0.2"));
    writeFileSync(at("later.json"), setFileText(SET).replace('"format":1', '"format":2'));
    writeFileSync(at("wrong.json"), setFileText({ ...SET, edits: [{ feature: 1, op: "add" }] }));
    writeFileSync(at("notes.txt"), "mine");
    writeFileSync(at(".partial-77"), "half");
    mkdirSync(at("folder.json"));
    symlinkSync("/etc/passwd", at("link.json"));
    writeFileSync(join(folder, "stray"), "");
    const again = await open(folder);
    expect([...again.store.of("one").keys()]).toEqual(["good"]);
    const aside = [
      "edited.json",
      "empty.json",
      "folder.json",
      "later.json",
      "link.json",
      "notes.txt",
      "torn.json",
      "wrong.json",
    ];
    expect(readdirSync(join(folder, "one")).toSorted()).toEqual(
      ["good.json", ...aside.map((file) => `${file}.set-aside`)].toSorted(),
    );
    expect(readFileSync(at("notes.txt.set-aside"), "utf8")).toBe("mine");
    expect(again.log).toHaveLength(aside.length + 1);
    expect(again.log.join("\n")).toMatch(
      /torn\.json is no steering set \(it is cut off.*column 41\); it was set aside as/,
    );
    expect(again.log.join("\n")).toMatch(/edited\.json .*its check does not fit/);
    expect(again.log.join("\n")).toMatch(/wrong\.json .*edits\[0\]\.value is missing/);
    expect((await open(folder)).log).toEqual([]);
  });

  it("says that it could not save where its folder cannot be, and keeps nothing", async () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    const { store, log } = await open(join(file, "steering"));
    await expect(store.change("one", "a", () => SET)).rejects.toMatchObject({ code: "PURSUIT_STATE_FAILED" });
    expect(store.of("one").size).toBe(0);
    expect(log.at(-1)).toMatch(/PURSUIT_STATE_DIR/);
  });
});

describe("a set's file", () => {
  it("is read as it was written", () => {
    expect(readSetFile(Buffer.from(setFileText(SET)))).toEqual(SET);
  });

  it("cut anywhere is none", () => {
    const bytes = Buffer.from(setFileText(SET).trimEnd());
    for (let length = 1; length < bytes.length; length++) {
      expect(() => readSetFile(bytes.subarray(0, length))).toThrow(/^it is cut off.* line 1, column \d+$/);
    }
  });

  it("is told where Python or an editor changed it", () => {
    const text = setFileText(SET);
    expect(() => readSetFile(Buffer.from(text.replace(/"value":[^,}]+/, '"value":NaN')))).toThrow(/NaN/);
    expect(() => readSetFile(Buffer.from(`// mine\n${text}`))).toThrow(/^it is not JSON at line 1, column 1/);
    expect(readSetFile(Buffer.from(`\uFEFF${text}`))).toEqual(SET);
  });
});
