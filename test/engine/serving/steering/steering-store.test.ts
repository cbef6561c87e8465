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
import { editsOf, readSetFile, setFileText, storedSet } from "../../../../src/engine/serving/steering/set-file.ts";
import { MAX_SET_BYTES, type SetEntry, SteeringStore } from "../../../../src/engine/serving/steering/steering-store.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const SHA256 = "ab".repeat(32);
const SET = storedSet(SHA256, '[{"feature":1,"op":"add","value":0.1}]');
const SAVED = { set: SET, edits: 1 };
const root = temporaryFolder();
let made = 0;
const fresh = (): string => join(root, String(made++), "deep", "steering");

async function open(folder: string, limit = 1 << 20): Promise<{ store: SteeringStore; log: string[] }> {
  const log: string[] = [];
  return { store: await SteeringStore.open(folder, limit, (_level, message) => log.push(message)), log };
}

const names = (store: SteeringStore, dictionary: string): readonly string[] => store.names(dictionary, "", 1000);

/** A set of so many bytes of edits, about. */
const long = (bytes: number): typeof SAVED => ({
  set: storedSet(
    SHA256,
    `[{"op":"project_out","vector":[${Array(bytes >> 1)
      .fill("1")
      .join(",")}]}]`,
  ),
  edits: 1,
});

describe("SteeringStore", () => {
  it("makes its folder when something is kept, and has it again", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    expect(existsSync(folder)).toBe(false);
    await store.change("one", "a", () => SAVED);
    await store.change("one", "b", () => SAVED);
    await store.change("two", "a", () => SAVED);
    await store.change("one", "a", () => null);
    const again = await open(folder);
    for (const read of [store, again.store]) {
      expect([names(read, "one"), names(read, "two"), names(read, "three")]).toEqual([["b"], ["a"], []]);
      expect([await read.read("one", "b"), await read.read("one", "a")]).toEqual([SET, undefined]);
      expect(read.entry("one", "b")).toEqual({
        sha256: SHA256,
        version: SET.version,
        edits: 1,
        bytes: setFileText(SET).length,
      });
    }
    expect([...log, ...again.log]).toEqual([]);
    expect(readdirSync(join(folder, "one"))).toEqual(["b.json"]);
  });

  it("shows each change what the one before it left", async () => {
    const { store } = await open(fresh());
    const seen: (SetEntry | undefined)[] = [];
    const grow = (edits: number): Promise<void> =>
      store.change("one", "a", (present) => {
        seen.push(present);
        return { set: SET, edits };
      });
    await Promise.all(Array.from({ length: 20 }, (_, i) => grow(i)));
    expect(seen.map((present) => present?.edits)).toEqual([undefined, ...Array.from({ length: 19 }, (_, i) => i)]);
  });

  it("leaves everything as it was when a change is refused, or makes none", async () => {
    const folder = fresh();
    const { store } = await open(folder);
    await store.change("one", "a", () => SAVED);
    const refused = store.change("one", "a", () => {
      throw new Error("no");
    });
    await expect(refused).rejects.toThrow("no");
    await store.change("one", "a", () => undefined);
    await store.change("one", "b", () => SAVED);
    expect(names((await open(folder)).store, "one")).toEqual(["a", "b"]);
  });

  it("lists names in order, a part at a time", async () => {
    const { store } = await open(fresh());
    for (const name of ["m", "c", "x", "a", "q"]) await store.change("one", name, () => SAVED);
    await store.change("one", "m", () => null);
    expect([
      store.names("one", "", 2),
      store.names("one", "c", 2),
      store.names("one", "d", 9),
      store.names("one", "x", 9),
      store.names("none", "", 9),
    ]).toEqual([["a", "c"], ["q", "x"], ["q", "x"], [], []]);
  });

  it("keeps no more bytes than are allowed, and says how many there are", async () => {
    const folder = fresh();
    const { store } = await open(folder, 8 * 4096);
    await store.change("one", "a", () => long(4 * 4096 - 500));
    await store.change("two", "a", () => long(3 * 4096 - 500));
    const full = store.change("one", "b", () => long(5000));
    await expect(full).rejects.toMatchObject({
      code: "PURSUIT_STATE_FULL",
      message:
        "Saved steering sets take 28672 of 32768 bytes allowed (PURSUIT_STATE_LIMIT); this one takes 8192 more. Delete some, or raise the limit.",
    });
    // The last block: whatever little a set says, it takes one.
    await store.change("one", "b", () => SAVED);
    await expect(store.change("one", "c", () => SAVED)).rejects.toMatchObject({ code: "PURSUIT_STATE_FULL" });
    // One may be saved again, larger or smaller, within what there is.
    await store.change("one", "a", () => long(4 * 4096 - 300));
    await expect(store.change("one", "a", () => long(5 * 4096))).rejects.toMatchObject({ code: "PURSUIT_STATE_FULL" });
    await store.change("one", "a", () => SAVED);
    await store.change("two", "a", () => null);
    await store.change("one", "c", () => long(5 * 4096));
    const again = await open(folder, 4096);
    expect(names(again.store, "one")).toEqual(["a", "b", "c"]);
    expect(again.log).toEqual([
      expect.stringMatching(/take 32768 of 4096 bytes allowed.*can be deleted, and none saved/),
    ]);
    await expect(again.store.change("one", "d", () => SAVED)).rejects.toMatchObject({ code: "PURSUIT_STATE_FULL" });
    for (const name of ["a", "b", "c"]) await again.store.change("one", name, () => null);
    await again.store.change("one", "d", () => SAVED);
  });

  it("keeps no set that is larger than one may be", async () => {
    const { store } = await open(fresh(), 1 << 30);
    await expect(store.change("one", "a", () => long(MAX_SET_BYTES + 1000))).rejects.toMatchObject({
      code: "PURSUIT_INVALID_EDIT",
      message: expect.stringMatching(/at most 8388608/),
    });
    expect(names(store, "one")).toEqual([]);
  });

  it("rebinds the sets of one digest to another, once and on disk", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    const [other, next] = ["cd", "ef"].map((pair) => pair.repeat(32)) as [string, string];
    await store.change("one", "a", () => SAVED);
    await store.change("one", "b", () => ({ set: storedSet(other, SET.edits), edits: 1 }));
    await store.change("two", "a", () => SAVED);
    await store.rebind("one", SHA256, next);
    await store.rebind("none", SHA256, next);
    const again = await open(folder);
    for (const read of [store, again.store]) {
      expect(await read.read("one", "a")).toEqual(storedSet(next, SET.edits));
      expect(read.entry("one", "a")).toMatchObject({ sha256: next, edits: 1 });
      expect(await read.read("one", "b")).toEqual(storedSet(other, SET.edits));
      expect(await read.read("two", "a")).toEqual(SET);
    }
    expect(log).toEqual(["The steering set a of one is now bound to the sha256 of its version."]);
    await again.store.rebind("one", SHA256, next);
    expect(again.log).toEqual([]);
  });

  it("leaves a set that cannot be rebound as it was, with a line", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    await store.change("one", "a", () => SAVED);
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "in the way");
    await store.rebind("one", SHA256, "ef".repeat(32));
    expect(store.entry("one", "a")).toMatchObject({ sha256: SHA256 });
    expect(log.at(-1)).toMatch(/The steering set a of one stays stale: .*cannot be read from the state folder/);
  });

  it("says that a set cannot be read where its file is gone or torn", async () => {
    const folder = fresh();
    const { store, log } = await open(folder);
    await store.change("one", "a", () => SAVED);
    writeFileSync(join(folder, "one", "a.json"), "{");
    await expect(store.read("one", "a")).rejects.toMatchObject({ code: "PURSUIT_STATE_FAILED" });
    expect(log.at(-1)).toMatch(/a\.json could not be read: it is cut off.*PURSUIT_STATE_DIR/);
  });

  it("sets torn and foreign files aside with a line, and starts", async () => {
    const folder = fresh();
    const { store } = await open(folder);
    for (const name of ["good", "torn", "empty"]) await store.change("one", name, () => SAVED);
    const at = (file: string): string => join(folder, "one", file);
    truncateSync(at("torn.json"), 40);
    truncateSync(at("empty.json"), 0);
    writeFileSync(at("edited.json"), setFileText(SET).replace("0.1", "0.2"));
    writeFileSync(at("later.json"), setFileText(SET).replace('"format":1', '"format":2'));
    writeFileSync(at("wrong.json"), setFileText(storedSet(SHA256, '[{"feature":1,"op":"add"}]')));
    writeFileSync(at("notes.txt"), "mine");
    writeFileSync(at(".partial-77"), "half");
    mkdirSync(at("folder.json"));
    symlinkSync("/etc/passwd", at("link.json"));
    writeFileSync(join(folder, "stray"), "");
    const again = await open(folder);
    expect(names(again.store, "one")).toEqual(["good"]);
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
      /torn\.json is not a steering set \(it is cut off.*column 41\); it was renamed to/,
    );
    expect(again.log.join("\n")).toMatch(/edited\.json .*its checksum does not match/);
    expect(again.log.join("\n")).toMatch(/wrong\.json .*edits\[0\]\.value is missing/);
    expect((await open(folder)).log).toEqual([]);
  });

  it("says that it could not save where its folder cannot be, and keeps nothing", async () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    const { store, log } = await open(join(file, "steering"));
    await expect(store.change("one", "a", () => SAVED)).rejects.toMatchObject({ code: "PURSUIT_STATE_FAILED" });
    expect(names(store, "one")).toEqual([]);
    expect(log.at(-1)).toMatch(/PURSUIT_STATE_DIR/);
  });
});

describe("a set's file", () => {
  it("is read as it was written, and so are its edits", () => {
    const read = readSetFile(Buffer.from(setFileText(SET)));
    expect(read).toEqual(SET);
    expect(editsOf(read)).toEqual([{ feature: 1, op: "add", value: 0.1 }]);
  });

  it("is read however it is laid out, while it says the same", () => {
    const pretty = JSON.stringify(JSON.parse(setFileText(SET)), null, 2);
    expect(readSetFile(Buffer.from(pretty))).toEqual(SET);
  });

  it("cut anywhere is none", () => {
    const text = setFileText(SET).trimEnd();
    for (let length = 0; length < text.length; length++)
      expect(() => readSetFile(Buffer.from(text.slice(0, length)))).toThrow(/./);
  });
});
