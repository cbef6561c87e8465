/** Memory of a dictionary from its load to its unload, over runtime processes that the system kills. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/engine/core/clock.ts";
import { MemoryLedger } from "../../../src/engine/scheduler/memory-ledger.ts";
import { gramBytes, memoryNeeds } from "../../../src/engine/serving/dictionary-memory.ts";
import { ServedDictionary } from "../../../src/engine/serving/served-dictionary.ts";
import type { ServingOptions } from "../../../src/engine/serving/serving-options.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fakeServing } from "../../support/fake-serving.ts";
import { manifestOf, writeModelFolder } from "../../support/model-folder.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const ATOMS = { atoms: Float32Array.of(1, 0, 0, 1), d: 2 };
const GRAM = gramBytes(2);
const GiB = 2 ** 30;

const root = temporaryFolder();
const open: ServedDictionary[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((dictionary) => dictionary.unload()));
});

interface Given {
  readonly limit?: number;
  readonly path?: ServingOptions["load"]["path"];
  readonly clock?: FakeClock;
}

/** A version of dictionary "one" that wants a Gram matrix, and what was logged of it. */
function setup(behaviour: string, { limit = GiB, path = "auto", clock }: Given = {}) {
  const lines: string[] = [];
  const memory = new MemoryLedger(limit, {}, clock ?? systemClock);
  const options = fakeServing({
    ...(clock && { clock }),
    load: { runtime: "cpu", path, gramLimit: GiB, threads: 1, cacheDir: root },
    memory,
    log: (level, message) => void lines.push(`${level}: ${message}`),
  });
  const folder = writeModelFolder(root, behaviour, ATOMS, "one");
  const version = (): ServedDictionary => {
    const dictionary = new ServedDictionary("one", folder, options);
    open.push(dictionary);
    return dictionary;
  };
  return { dictionary: version(), version, memory, lines, folder };
}

/** Longer than any pause between two tries, shorter than the time of a load. */
const PAUSE = 5_000;

/** Lets the pauses between tries pass until the load is over. */
async function loadWithoutPauses(dictionary: ServedDictionary, clock: FakeClock, lines: string[]): Promise<void> {
  const loading = dictionary.load().then(() => "over");
  const soon = (): Promise<string> => new Promise((resolve) => setImmediate(resolve, "soon"));
  for (let passed = 0; (await Promise.race([loading, soon()])) === "soon";) {
    if (tries(lines) === passed) continue;
    clock.advance(PAUSE);
    passed++;
  }
}

const gramWarnings = (dictionary: ServedDictionary): readonly string[] =>
  dictionary.status().warnings.filter((warning) => warning.includes("Gram matrix"));

const tries = (lines: readonly string[]): number => lines.filter((line) => line.includes("Trying again")).length;

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

describe("memory", () => {
  it("is claimed for the load, measured after it, and given back at the unload", async () => {
    const { dictionary, memory } = setup("ok");
    const loading = dictionary.load();
    await until(() => memory.held.runtime > 0);
    const { runtime } = await memoryNeeds(root, manifestOf("one", ATOMS));
    expect(memory.held.runtime).toBe(runtime);
    await loading;
    await until(() => dictionary.status().chosen?.path === "fused");
    expect(memory.held.gram).toBe(GRAM);
    expect(gramWarnings(dictionary)).toEqual([]);
    expect(memory.free).toBe(GiB - GRAM - memory.held.runtime);
    // A Node process of 30 MiB or more, less the matrix that the fake does not have.
    expect(memory.held.runtime).not.toBe(runtime);
    expect(memory.held.runtime).toBeGreaterThan(8 * 2 ** 20);
    await dictionary.unload();
    expect(memory.free).toBe(GiB);
  });

  it("counts labels by the size of their file", async () => {
    const { folder } = setup("ok");
    const before = await memoryNeeds(folder, manifestOf("one", ATOMS));
    writeFileSync(join(folder, "labels.json"), JSON.stringify({ 0: { text: "x".repeat(988) } }));
    const after = await memoryNeeds(folder, manifestOf("one", ATOMS));
    expect([before.text, after.text! > 8 * 1000, after.runtime === before.runtime]).toEqual([0, true, true]);
  });

  it("that a dictionary can never have refuses it with both numbers and a remedy", async () => {
    const { dictionary, memory, lines } = setup("ok", { limit: 40 * 2 ** 20 });
    await dictionary.load();
    const fault =
      /^It needs 65 MiB of memory; of the 40 MiB that PURSUIT_MEMORY_LIMIT allows, dictionaries may have 40 MiB\. Give the server more memory or raise the limit, then POST \/v2\/repository\/models\/one\/load\.$/;
    expect(dictionary.status()).toMatchObject({ state: "failed", faults: [expect.stringMatching(fault)] });
    expect(dictionary.outOfMemory).toBe(true);
    expect(lines).toEqual([expect.stringMatching(/^error: Dictionary one could not be loaded: It needs 65 MiB/)]);
    expect(memory.free).toBe(40 * 2 ** 20);
  });

  it("that others hold refuses it until they are unloaded", async () => {
    const { dictionary, version, memory } = setup("ok", { limit: 100 * 2 ** 20 });
    const other = await memory.claim({ runtime: 60 * 2 ** 20 });
    other.measured(() => 60 * 2 ** 20);
    await dictionary.load();
    expect(dictionary.status().faults).toEqual([
      expect.stringMatching(/^It needs 65 MiB .*, 40 MiB are free\. Unload another dictionary or raise the limit/),
    ]);
    other.release();
    const next = version();
    await next.load();
    expect([next.state, next.outOfMemory]).toEqual(["ready", false]);
  });

  it.each(["auto", "fused"] as const)(
    "without room for the Gram matrix leaves it out and says why: path %s",
    async (path) => {
      const { dictionary, memory, lines } = setup("greedy", { limit: 70 * 2 ** 20, path });
      await dictionary.load();
      // The fake answers "greedy" only where it was granted no matrix.
      expect(dictionary.state).toBe("ready");
      const warning =
        /^It is served without its Gram matrix \(13 MiB\), and slower: 6 MiB of the 70 MiB that PURSUIT_MEMORY_LIMIT allows are free\. When there is more memory, POST \/v2\/repository\/models\/one\/load\.$/;
      expect(gramWarnings(dictionary)).toEqual([expect.stringMatching(warning)]);
      expect(lines).toContainEqual(expect.stringMatching(/^warn: It is served without its Gram matrix/));
      expect(memory.held.gram).toBe(0);
    },
  );
});

describe("a load that the system kills", () => {
  it("is tried again without the Gram matrix, and says so", async () => {
    const clock = new FakeClock();
    const { dictionary, memory, lines } = setup("greedy", { clock });
    await loadWithoutPauses(dictionary, clock, lines);
    expect(dictionary.state).toBe("ready");
    expect(lines[0]).toBe(
      "warn: Dictionary one is not loaded yet: the system killed its runtime process: probably out of memory, about 65 MiB needed. Trying again without its Gram matrix in 1000 ms.",
    );
    expect(gramWarnings(dictionary)).toEqual([
      expect.stringMatching(/without its Gram matrix .*: the process that held it ended, probably out of memory/),
    ]);
    expect(memory.held.gram).toBe(0);
  });

  it("is the same to it as one in which an allocation fails", async () => {
    const clock = new FakeClock();
    const { dictionary, lines } = setup("wide", { clock });
    await loadWithoutPauses(dictionary, clock, lines);
    expect(dictionary.state).toBe("ready");
    expect(lines[0]).toMatch(
      /not loaded yet: WebAssembly\.Memory\(\): could not allocate memory: probably out of memory.* without its Gram matrix/,
    );
  });

  it("fails after a few tries with what it needs, and gives its memory back", async () => {
    const clock = new FakeClock();
    const { dictionary, memory, lines } = setup("starved", { clock });
    await loadWithoutPauses(dictionary, clock, lines);
    expect(dictionary.status()).toMatchObject({
      state: "failed",
      faults: [
        "It could not be loaded in 3 tries: the system killed its runtime process. It is probably out of memory: about 65 MiB needed, PURSUIT_MEMORY_LIMIT is 1,024 MiB. Give the server more memory or unload another dictionary, then POST /v2/repository/models/one/load.",
      ],
    });
    expect([tries(lines), memory.free, clock.pending]).toEqual([2, GiB, 0]);
  });

  it("is given up at once when the server stops", async () => {
    const clock = new FakeClock();
    const { dictionary, memory, lines } = setup("starved", { clock });
    const loading = dictionary.load();
    await until(() => lines.length > 0);
    dictionary.giveUpLoading();
    await loading;
    expect([dictionary.state, memory.free]).toEqual(["unloaded", GiB]);
  });
});

describe("a Gram matrix whose making the system kills", () => {
  it("is not made again by this version: the process that follows has none", async () => {
    const { dictionary, memory, lines } = setup("greedy-build");
    await dictionary.load();
    await until(() => lines.some((line) => line.includes("is back")));
    const status = dictionary.status();
    expect([status.state, status.chosen?.path]).toEqual(["ready", "residual"]);
    expect(gramWarnings(dictionary)).toEqual([
      expect.stringContaining("the process that held it ended, probably out of memory"),
    ]);
    expect(lines).toContain(
      "error: The runtime process of one is being restarted, without its Gram matrix: signal SIGKILL, probably out of memory.",
    );
    expect(lines.filter((line) => line.includes("being restarted"))).toHaveLength(1);
    expect(memory.held.gram).toBe(0);
  });
});
