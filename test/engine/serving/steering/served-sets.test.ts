import { join } from "node:path";
import { expect, it } from "vitest";
import { ServedSets } from "../../../../src/engine/serving/steering/served-sets.ts";
import { SteeringStore } from "../../../../src/engine/serving/steering/steering-store.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const root = temporaryFolder();
const always = (): boolean => true;
const edits = [{ feature: 3, op: "remove" } as const];

/** Sets over a dictionary whose weights may be replaced. */
function sets(name: string): { served: ServedSets; weights: { sha256: string } } {
  const weights = { sha256: "a".repeat(64) };
  const served = new ServedSets(new SteeringStore(join(root, name), () => {}), {
    sha256: () => weights.sha256,
    serving: () => ({ d: 2, m: 4, sha256: weights.sha256 }),
  });
  return { served, weights };
}

it("lists sets by name, each with a version that changes with what it says", async () => {
  const { served } = sets("list");
  await served.save("one", "b", edits, always);
  const { set, created } = await served.save("one", "a", edits, always);
  expect(created).toBe(true);
  expect(served.list("one").map(({ name }) => name)).toEqual(["a", "b"]);
  expect(served.get("one", "a")).toEqual(set);
  const again = await served.save("one", "a", [{ feature: 2, op: "remove" }], (version) => version === set.version);
  expect([again.created, again.set.version === set.version]).toEqual([false, false]);
});

it("refuses a set after its dictionary was replaced, until it is saved again", async () => {
  const { served, weights } = sets("stale");
  const { set } = await served.save("one", "a", edits, always);
  expect(served.use("one", "a")).toEqual(edits);
  weights.sha256 = "b".repeat(64);
  expect(served.list("one")).toEqual([{ ...set, stale: true }]);
  expect(() => served.use("one", "a")).toThrow(expect.objectContaining({ code: "PURSUIT_STEERING_SET_STALE" }));
  const saved = await served.save("one", "a", edits, (version) => version === set.version);
  expect(saved.set.version).not.toBe(set.version);
  expect(served.use("one", "a")).toEqual(edits);
});

it.each([
  [
    "a feature that is not there",
    [
      { feature: 3, op: "remove" },
      { feature: 4, op: "remove" },
    ],
    /^edits\[1\]\.feature is 4.*0 to 3/,
  ],
  ["a vector of another length", [{ op: "project_out", vector: [1, 2, 3] }], /^edits\[0\]\.vector holds 3 numbers.* 2/],
  ["rows", [{ feature: 3, op: "remove", rows: [0] }], /^edits\[0\]\.rows: a set is for any rows/],
] as const)("checks against the dictionary at once: %s", async (_, wrong, message) => {
  const { served } = sets("checked");
  await expect(served.save("one", "a", wrong, always)).rejects.toMatchObject({
    code: "PURSUIT_INVALID_EDIT",
    message: expect.stringMatching(message),
  });
  expect(served.list("one")).toEqual([]);
});

it("never makes a file of a name that is none", async () => {
  const { served } = sets("names");
  await expect(served.save("one", "../a", edits, always)).rejects.toThrow(/name is 1 to 128/);
});

it("heeds what a write expects, and what a delete does", async () => {
  const { served } = sets("expects");
  const none = (version: string | null): boolean => version === null;
  const { set } = await served.save("one", "a", edits, none);
  const failed = { code: "PURSUIT_PRECONDITION_FAILED" };
  await expect(served.save("one", "a", [], none)).rejects.toMatchObject(failed);
  await expect(served.delete("one", "a", (version) => version === "other")).rejects.toMatchObject(failed);
  expect(served.get("one", "a")).toEqual(set);
  await served.delete("one", "a", (version) => version === set.version);
  await expect(served.delete("one", "a", always)).rejects.toMatchObject({ code: "PURSUIT_STEERING_SET_NOT_FOUND" });
});
