/** Loading, replacing and unloading while requests are served, over runtime processes that behave as told. */
import { writeFileSync } from "node:fs";
import type * as timers from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Cancellation } from "../../../src/engine/core/cancellation.ts";
import { CatalogEngine } from "../../../src/engine/serving/catalog-engine.ts";
import { ServedDictionary } from "../../../src/engine/serving/served-dictionary.ts";
import { sqliteBackend } from "../../../src/engine/serving/state/database.ts";
import { StateStore } from "../../../src/engine/serving/state/state-store.ts";
import { type Clock, systemClock } from "../../../src/engine/core/clock.ts";
import { Telemetry } from "../../../src/engine/core/telemetry.ts";
import type { DictionaryStatus, EncodeRequest, ReadyRule } from "../../../src/engine/engine.ts";
import { MemoryLedger } from "../../../src/engine/scheduler/memory-ledger.ts";
import { LoadQueue } from "../../../src/engine/serving/load-queue.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fakeServing } from "../../support/fake-serving.ts";
import { writeModelFolder } from "../../support/model-folder.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

/** What a dictionary's folder holds: see test/support/fake-executor.js. */
type Behaviour = "ok" | "broken" | "mute" | "changing";

const turn = vi.hoisted(() => ({ waits: null as Promise<void> | null }));
vi.mock("node:timers/promises", async (original) => {
  const real = await original<typeof timers>();
  const setImmediate = async (): Promise<void> => {
    const { waits } = turn;
    turn.waits = null;
    await waits;
    return real.setImmediate();
  };
  return { ...real, setImmediate };
});

const root = temporaryFolder();
/** One version of dictionary `id`. */
function version(
  id: string,
  behaviour: Behaviour,
  clock: Clock = systemClock,
  serving = fakeServing({ clock }),
): ServedDictionary {
  const folder = writeModelFolder(`${root}/${id}`, behaviour, { atoms: Float32Array.of(1, 0, 0, 1), d: 2 }, id);
  return new ServedDictionary(id, folder, serving);
}

const stateStore = (): StateStore =>
  new StateStore(sqliteBackend(`${root}/state.db`), { limit: 1 << 20, log: () => {}, files: `${root}/steering` });

const engines: CatalogEngine[] = [];
afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.close()));
});

/** An engine that starts with these dictionaries, and finds the given ones in its models folder afterwards. */
async function started(
  first: ServedDictionary[],
  later: (ServedDictionary | null)[] = [],
  ready: ReadyRule = "all",
): Promise<CatalogEngine> {
  const engine = new CatalogEngine(first, {
    clock: systemClock,
    telemetry: new Telemetry(),
    state: stateStore(),
    ready,
    open: () => Promise.resolve(later.shift() ?? null),
  });
  engines.push(engine);
  await engine.start();
  return engine;
}

function gone(): Cancellation {
  const cancellation = new Cancellation();
  cancellation.cancel();
  return cancellation;
}

const request = (value: number): EncodeRequest => ({
  rows: { data: Float32Array.of(value, 0), count: 1, width: 2 },
  budget: {},
  trace: false,
  reconstruction: false,
});
async function encode(engine: CatalogEngine, value: number, id = "one"): Promise<number> {
  const context = { span: {}, cancellation: new Cancellation() };
  return (await engine.encode(id, request(value), context)).codes.values[0]!;
}

/** Lets the time pass that a mute runtime process has for its load. */
async function giveUp(clock: FakeClock): Promise<void> {
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(60_000);
}

describe("load", () => {
  it("serves a folder that was put there after the start", async () => {
    const engine = await started([version("one", "ok")], [version("two", "ok")]);
    await expect(encode(engine, 1, "two")).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_NOT_FOUND" });
    expect(await engine.load("two")).toMatchObject({ id: "two", state: "ready" });
    expect(await encode(engine, 7, "two")).toBe(7);
    expect(engine.list().map(({ id }) => id)).toEqual(["one", "two"]);
  });

  it("of a name without a folder changes nothing", async () => {
    const engine = await started([version("one", "ok")]);
    for (const id of ["two", "one"])
      await expect(engine.load(id)).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_NOT_FOUND" });
    expect(await encode(engine, 7)).toBe(7);
  });

  it("replaces a served one without refusing a request, and answers what the old one had accepted", async () => {
    const engine = await started([version("one", "ok")], [version("one", "ok")]);
    const before = Array.from({ length: 50 }, (_, i) => encode(engine, i));
    const loading = engine.load("one");
    expect(engine.status("one").state).toBe("ready");
    const during = Array.from({ length: 50 }, (_, i) => encode(engine, 50 + i));
    expect(await loading).toMatchObject({ state: "ready" });
    const after = Array.from({ length: 50 }, (_, i) => encode(engine, 100 + i));
    expect(await Promise.all([...before, ...during, ...after])).toEqual(Array.from({ length: 150 }, (_, i) => i));
  });

  it("steers anew by the next version where one was replaced between its code and its delta", async () => {
    const first = version("one", "ok");
    const engine = await started([first], [version("one", "ok")]);
    const steer = first.steer.bind(first);
    let refused = 0;
    first.steer = async (...call) => {
      await engine.load("one");
      return steer(...call).catch((error: unknown) => {
        refused++;
        throw error;
      });
    };
    const edits = [{ feature: 0, op: "scale", value: 2 } as const, { feature: 1, op: "add", value: 3 } as const];
    const context = { span: {}, cancellation: new Cancellation() };
    const { rows } = request(5);
    const { rows: steered, norms } = await engine.steer("one", { rows, budget: {}, edits, effect: false }, context);
    expect([[...steered.data], norms[0], refused]).toEqual([[10, 3], expect.closeTo(Math.hypot(5, 3), 10), 1]);
  });

  it("encodes anew by the next version where one was replaced between two turns of the check", async () => {
    const first = version("one", "ok");
    const engine = await started([first], [version("one", "changing")]);
    const count = (1 << 19) + 1;
    const { sha256: before } = engine.status("one");
    const rows = { data: new Float32Array(count * 2).fill(5), count, width: 2 };
    // The first mebi of values has been checked when encode() returns; what follows has its turn when the other serves.
    let replaced = (): void => {};
    turn.waits = new Promise((resolve) => (replaced = resolve));
    const context = { span: {}, cancellation: new Cancellation() };
    const encoding = engine.encode("one", { ...request(0), rows, summary: true }, context);
    expect(turn.waits).toBeNull();
    await engine.load("one");
    replaced();
    const { sha256, totalVariance, codes } = await encoding;
    expect([sha256 === before, sha256 === engine.status("one").sha256, totalVariance, codes.count]).toEqual([
      false,
      true,
      0,
      count,
    ]);
  });

  it("transfers anew where the second dictionary was replaced between code and rows", async () => {
    const second = version("two", "ok");
    const engine = await started([version("one", "ok"), second], [version("two", "ok")]);
    const decode = second.decode.bind(second);
    let refused = 0;
    second.decode = async (...call) => {
      await engine.load("two");
      return decode(...call).catch((error: unknown) => {
        refused++;
        throw error;
      });
    };
    const context = { span: {}, cancellation: new Cancellation() };
    const { rows } = request(5);
    const work = { from: "one", to: "two", rows, budget: {} } as const;
    const { outputs, codes } = await engine.transfer(work, context);
    expect([[...codes.values], [...outputs.data], refused]).toEqual([[5], [5, 0], 1]);
  });

  it("that fails leaves what was served, and says why", async () => {
    const engine = await started([version("one", "ok")], [version("one", "broken")]);
    const failed = {
      code: "PURSUIT_DICTIONARY_FAILED",
      message: expect.stringMatching(/center is missing.*still served/),
    };
    await expect(engine.load("one")).rejects.toMatchObject(failed);
    expect(engine.status("one")).toMatchObject({ state: "ready", faults: [] });
    expect(await encode(engine, 7)).toBe(7);
  });

  it("mends one that had failed, and shows one that fails", async () => {
    const engine = await started(
      [version("one", "broken"), version("two", "ok")],
      [version("one", "broken"), version("one", "ok")],
    );
    expect(engine.status("one").state).toBe("failed");
    await expect(engine.load("one")).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_FAILED" });
    expect(engine.status("one")).toMatchObject({
      state: "failed",
      faults: ["atoms: 3 of them are zero.", "center is missing."],
    });
    await engine.load("one");
    expect(await encode(engine, 7)).toBe(7);
  });

  it("for which there is no memory is refused as such, until another dictionary is unloaded", async () => {
    const serving = fakeServing({ memory: new MemoryLedger(70 * 2 ** 20, {}, systemClock) });
    const one = version("one", "ok", systemClock, serving);
    const two = (): ServedDictionary => version("two", "ok", systemClock, serving);
    const engine = await started([one], [two(), two()]);
    const refused = { code: "PURSUIT_MEMORY_FULL", message: expect.stringMatching(/It needs 65 MiB .* are free/) };
    await expect(engine.load("two")).rejects.toMatchObject(refused);
    await engine.unload("one");
    expect(await engine.load("two")).toMatchObject({ state: "ready" });
  });

  it("is one at a time for each dictionary", async () => {
    const clock = new FakeClock();
    const engine = await started(
      [version("one", "ok"), version("two", "ok")],
      [version("one", "mute", clock), version("two", "ok")],
    );
    const loading = engine.load("one").catch((error: unknown) => error);
    for (const change of [() => engine.load("one"), () => engine.unload("one")])
      await expect(change()).rejects.toMatchObject({ code: "PURSUIT_BEING_REPLACED", retryAfter: 1 });
    expect(await engine.load("two")).toMatchObject({ state: "ready" });
    expect(await encode(engine, 7)).toBe(7);
    await giveUp(clock);
    expect(await loading).toMatchObject({ code: "PURSUIT_DICTIONARY_FAILED" });
    expect(await encode(engine, 8)).toBe(8);
  });
});

describe("start", () => {
  /** Room for so many MiB. */
  const limited = (mebibytes: number, gramLimit = 0): ReturnType<typeof fakeServing> =>
    fakeServing({
      memory: new MemoryLedger(mebibytes * 2 ** 20, {}, systemClock),
      load: { ...fakeServing().load, gramLimit },
    });

  it("gives the memory of a dictionary that loads later to no Gram matrix", async () => {
    // Of two atoms each: 65 MiB for a process, 13 for a matrix.
    const serving = limited(140, 1024);
    const engine = await started(["one", "two"].map((id) => version(id, "ok", systemClock, serving)));
    const without = ({ warnings }: DictionaryStatus): boolean => warnings.join().includes("without its Gram matrix");
    expect(engine.list().map((status) => [status.state, without(status)])).toEqual([
      ["ready", true],
      ["ready", true],
    ]);
    const wider = limited(170, 1024);
    const both = await started(["one", "two"].map((id) => version(id, "ok", systemClock, wider)));
    expect(both.list().map(without)).toEqual([false, false]);
  });

  it("loads dictionaries one after another where memory is for one load at a time", async () => {
    // Measured, each holds less than the 65 MiB that its load was estimated to take.
    const serving = limited(128);
    const engine = await started(["one", "two"].map((id) => version(id, "ok", systemClock, serving)));
    expect(engine.readiness()).toEqual({ ready: true });
  });

  it("serves the first dictionaries while others load, which say so", async () => {
    const clock = new FakeClock();
    const serving = fakeServing({ clock, loads: new LoadQueue({ clock, parallel: () => 2, log: () => {} }) });
    const behaviours = { one: "ok", two: "mute", three: "ok" } as const;
    const dictionaries = Object.entries(behaviours).map(([id, behaviour]) => version(id, behaviour, clock, serving));
    const engine = new CatalogEngine(dictionaries, {
      clock: systemClock,
      telemetry: new Telemetry(),
      state: stateStore(),
      open: () => Promise.resolve(null),
      ready: "any",
    });
    engines.push(engine);
    expect(engine.list().map(({ state }) => state)).toEqual(["registered", "registered", "registered"]);
    const starting = engine.start();
    while (engine.status("one").state !== "ready") await new Promise((resolve) => setImmediate(resolve));
    expect(await encode(engine, 7)).toBe(7);
    expect(engine.status("two").state).toBe("loading");
    expect(engine.readiness()).toMatchObject({ ready: true });
    await expect(encode(engine, 7, "two")).rejects.toMatchObject({ code: "PURSUIT_NOT_READY", retryAfter: 1 });
    // The third has taken the first one's turn.
    while (engine.status("three").state !== "ready") await new Promise((resolve) => setImmediate(resolve));
    clock.advance(60_000);
    await starting;
    expect(engine.status("two").state).toBe("failed");
  });
});

describe("unload", () => {
  it("answers what was accepted, then refuses and says how to come back", async () => {
    const engine = await started([version("one", "ok"), version("two", "ok")], [version("one", "ok")]);
    const accepted = Array.from({ length: 50 }, (_, i) => encode(engine, i));
    const unloading = engine.unload("one");
    await expect(encode(engine, 1)).rejects.toMatchObject({ code: "PURSUIT_DRAINING" });
    expect(await unloading).toMatchObject({ state: "unloaded", faults: [] });
    expect(await Promise.all(accepted)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    const refused = {
      code: "PURSUIT_NOT_READY",
      message: expect.stringContaining("POST /v2/repository/models/one/load"),
    };
    await expect(encode(engine, 1)).rejects.toMatchObject(refused);
    expect(await engine.unload("one")).toMatchObject({ state: "unloaded" });
    await engine.load("one");
    expect(await encode(engine, 7)).toBe(7);
  });

  it("of what was never there is refused", async () => {
    const engine = await started([version("one", "ok")]);
    await expect(engine.unload("two")).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_NOT_FOUND" });
  });
});

describe("a call that is not batched", () => {
  const codes = { count: 1, indptr: Uint32Array.of(0, 1), indices: Uint32Array.of(1), values: Float32Array.of(3) };
  const { rows } = request(5);
  const edits = [{ feature: 1, op: "add_direction", strength: 2 } as const];

  it.each([
    ["whose client has gone", gone(), undefined, "PURSUIT_CLIENT_CLOSED"],
    ["whose time is over", new Cancellation(), 0, "PURSUIT_TIMEOUT"],
  ])("%s is not made when its turn comes", async (_whose, cancellation, deadline, code) => {
    const engine = await started([version("one", "ok")]);
    const wanted = { span: {}, cancellation: new Cancellation() };
    const context = { ...wanted, cancellation, ...(deadline !== undefined && { deadline }) };
    await expect(engine.decode("one", codes, context)).rejects.toMatchObject({ code });
    const steering = { rows, budget: {}, edits, effect: false };
    await expect(engine.steer("one", steering, context)).rejects.toMatchObject({ code });
    expect([...(await engine.decode("one", codes, wanted)).data]).toEqual([0, 3]);
    expect([...(await engine.steer("one", steering, wanted)).rows.data]).toEqual([5, 2]);
  });
});

describe("a version that was loaded", () => {
  it("is told of before it is served, so that sets bound to its weights file can be rebound", async () => {
    const order: string[] = [];
    const dictionary = new ServedDictionary(
      "one",
      writeModelFolder(`${root}/one`, "ok", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 }, "one"),
      fakeServing({
        onVersion: (id, { sha256, fileSha256 }) => {
          order.push(`${id} ${dictionary.state} ${sha256[0]} ${fileSha256[0]}`);
          return Promise.resolve();
        },
      }),
    );
    await started([dictionary]);
    expect([...order, dictionary.state]).toEqual(["one loading 0 f", "ready"]);
  });
});

describe("labels", () => {
  const labelled = (sha256: string): ServedDictionary => {
    const model = { atoms: Float32Array.of(1, 0, 0, 1), d: 2, settings: { maxAtoms: 2 } };
    const folder = writeModelFolder(`${root}/labelled`, "ok", model, "one");
    writeFileSync(`${folder}/labels.json`, JSON.stringify({ sha256, 0: { text: "a bird" } }));
    return new ServedDictionary("one", folder, fakeServing());
  };

  it("of the version that is served are used", async () => {
    const engine = await started([labelled("0".repeat(64))]);
    expect(engine.labels("one", Uint32Array.of(0, 1))).toEqual([{ text: "a bird", source: "labels.json" }, null]);
    expect(engine.status("one")).toMatchObject({ labels: true, warnings: [] });
  });

  it("of another version are not", async () => {
    const engine = await started([labelled("1".repeat(64))]);
    expect(() => engine.labels("one", Uint32Array.of(0))).toThrow(
      /no labels.json and no features.db, or none of this version/,
    );
    expect(engine.status("one")).toMatchObject({
      labels: false,
      warnings: [expect.stringMatching(/made for the version 111111111111… and the dictionary is 000000000000…/)],
    });
  });
});

describe("a runtime process that ends", () => {
  it("is not followed by one of other weights: those are for a load to serve", async () => {
    const engine = await started([version("one", "changing")], [version("one", "changing")]);
    const { sha256 } = engine.status("one");
    expect(await encode(engine, 7)).toBe(7);
    const changed = {
      code: "PURSUIT_DICTIONARY_FAILED",
      message: expect.stringMatching(/weights file changed.*models\/one\/load/),
    };
    await expect(encode(engine, 666)).rejects.toMatchObject(changed);
    await expect(encode(engine, 7)).rejects.toMatchObject(changed);
    expect(await engine.load("one")).toMatchObject({ state: "ready", faults: [] });
    expect(await encode(engine, 8)).toBe(8);
    expect(engine.status("one").sha256).not.toBe(sha256);
  });
});

describe("readiness", () => {
  const failed = { id: "two", state: "failed", faults: ["atoms: 3 of them are zero.", "center is missing."] };

  it("by the rule all waits for every dictionary, and names the failed ones and why", async () => {
    const engine = await started([version("one", "ok"), version("two", "broken")], [version("two", "ok")]);
    expect(engine.readiness()).toEqual({
      ready: false,
      reason: "1 of 2 dictionaries do not answer: two (failed): atoms: 3 of them are zero. center is missing.",
      missing: [failed],
    });
    await engine.load("two");
    expect(engine.readiness()).toEqual({ ready: true });
  });

  it("by the rule any needs one dictionary, and still names the failed ones", async () => {
    const engine = await started([version("one", "ok"), version("two", "broken")], [], "any");
    expect(engine.readiness()).toEqual({ ready: true, missing: [failed] });
  });

  it.each(["all", "any"] as const)("by the rule %s needs one dictionary at least", async (rule) => {
    const engine = await started([version("one", "broken"), version("two", "broken")], [], rule);
    expect(engine.readiness()).toMatchObject({ ready: false, missing: [{ id: "one" }, failed] });
    const empty = await started([], [], rule);
    expect(empty.readiness()).toEqual({ ready: false, reason: "There is no dictionary to serve." });
  });

  it("does not fail for what an operator loads, replaces or unloads", async () => {
    const engine = await started(
      [version("one", "ok"), version("two", "ok")],
      [version("three", "broken"), version("one", "broken"), version("one", "broken")],
    );
    const ready = { ready: true };
    await expect(engine.load("three")).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_FAILED" });
    expect(engine.readiness()).toEqual(ready);
    await expect(engine.load("one")).rejects.toThrow(/still served/);
    expect(engine.readiness()).toEqual(ready);
    await engine.unload("one");
    expect(engine.readiness()).toEqual(ready);
    await expect(engine.load("one")).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_FAILED" });
    expect(engine.readiness()).toEqual(ready);
    await engine.unload("two");
    expect(engine.readiness()).toEqual(ready);
  });

  it("fails when a served dictionary can no longer be started", async () => {
    const engine = await started([version("one", "changing")]);
    await expect(encode(engine, 666)).rejects.toMatchObject({ code: "PURSUIT_DICTIONARY_FAILED" });
    expect(engine.readiness()).toMatchObject({ ready: false, missing: [{ id: "one", state: "failed" }] });
  });

  it("fails while a predicted wait is above the limit, where one is set", async () => {
    const open = (): Promise<null> => Promise.resolve(null);
    const options = { clock: systemClock, telemetry: new Telemetry(), state: stateStore(), open };
    for (const [readyWaitMs, wait, ready] of [
      [100, 101, false],
      [100, 100, true],
      [0, 101, true],
    ] as const) {
      const engine = new CatalogEngine([version("one", "ok")], { ...options, readyWaitMs });
      await engine.start();
      const [load] = engine.loads();
      vi.spyOn(engine, "loads").mockReturnValue([{ ...load!, predictedWait: wait }]);
      expect(engine.readiness()).toMatchObject({
        ready,
        ...(!ready && {
          reason: expect.stringMatching(/^Requests for one would wait about 101 ms; the limit is 100 ms/),
        }),
      });
      await engine.close();
    }
  });

  it.each(["all", "any"] as const)("by the rule %s waits for the first load", (ready) => {
    const open = (): Promise<null> => Promise.resolve(null);
    const telemetry = new Telemetry();
    const options = { clock: systemClock, telemetry, state: stateStore(), open, ready };
    const engine = new CatalogEngine([version("one", "ok")], options);
    expect(engine.readiness()).toMatchObject({
      ready: false,
      reason: "Dictionaries are still being loaded: 0 of 1 answer.",
      missing: [{ id: "one", state: "registered", faults: [] }],
    });
  });
});

describe("close", () => {
  it("while a dictionary is being loaded leaves no runtime behind, and takes no further change", async () => {
    const engine = await started([version("one", "ok")], [version("one", "ok"), version("one", "ok")]);
    const loading = engine.load("one").catch((error: unknown) => error);
    await engine.close();
    expect(await loading).toMatchObject({ code: "PURSUIT_DRAINING" });
    expect(engine.status("one").state).toBe("unloaded");
    await expect(engine.load("one")).rejects.toMatchObject({ code: "PURSUIT_DRAINING" });
  });
});
