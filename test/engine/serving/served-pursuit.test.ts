/** The process of a pursuit over a decoder: made at the first request, refused with reasons, given up at an unload. */
import { afterEach, describe, expect, it } from "vitest";
import { Cancellation } from "../../../src/engine/core/cancellation.ts";
import { EngineError } from "../../../src/engine/core/errors.ts";
import { MemoryLedger } from "../../../src/engine/scheduler/memory-ledger.ts";
import { gramBytes, pursuitNeeds } from "../../../src/engine/serving/dictionary-memory.ts";
import { type Admit, ServedPursuit } from "../../../src/engine/serving/served-pursuit.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fakeServing } from "../../support/fake-serving.ts";
import { manifestOf, writeModelFolder } from "../../support/model-folder.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const MODEL = { atoms: Float32Array.of(1, 0, 0, 1), d: 2 };
const manifest = manifestOf("one", MODEL);
/** What the fake executor says of its weights. */
const SHA256 = "0".repeat(64);
const GiB = 2 ** 30;

const root = temporaryFolder();
const open: ServedPursuit[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((pursuit) => pursuit.close()));
});

function setup(behaviour: string, { limit = GiB, gramLimit = GiB, maxWaitMs = 10_000 } = {}) {
  const lines: string[] = [];
  const clock = new FakeClock();
  const memory = new MemoryLedger(limit, {}, clock);
  const options = fakeServing({
    clock,
    maxWaitMs,
    memory,
    load: { runtime: "cpu", path: "auto", gramLimit, threads: 1, cacheDir: root },
    log: (level, message) => void lines.push(`${level}: ${message}`),
  });
  const folder = writeModelFolder(root, behaviour, MODEL, "one");
  const pursuit = new ServedPursuit({ id: "one", folder, manifest, sha256: SHA256 }, options);
  open.push(pursuit);
  return { pursuit, memory, lines, clock };
}

/** Dictionaries are loaded at the start: nothing makes room. */
const atOnce: Admit = (_needed, start) => start();
const patient = () => ({ cancellation: new Cancellation() });
const refusal = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe("a pursuit over a decoder", () => {
  it("claims no memory before the first request, and is there for those after it", async () => {
    const { pursuit, memory, lines } = setup("ok");
    expect([memory.free, pursuit.chosen]).toEqual([GiB, null]);
    expect(() => pursuit.queue).toThrow(refusal("PURSUIT_NOT_READY", /./));
    await Promise.all([pursuit.prepare(patient(), atOnce), pursuit.prepare(patient(), atOnce)]);
    expect(pursuit.queue).toBe(pursuit.queue);
    expect(memory.held.gram).toBe(gramBytes(2));
    expect(lines.filter((line) => line.includes("is ready"))).toEqual([
      "info: The pursuit over the decoder of one is ready: fused_residual path.",
    ]);
    await pursuit.close();
    expect(memory.free).toBe(GiB);
  });

  it("lets a request wait until its deadline, and then says what is being made and when to come again", async () => {
    const { pursuit, clock } = setup("mute");
    const waiting = pursuit.prepare({ ...patient(), deadline: clock.now() + 3000 }, atOnce);
    const refused = expect(waiting).rejects.toEqual(
      expect.objectContaining({
        code: "PURSUIT_NOT_READY",
        message: expect.stringMatching(/^encoder: the pursuit over the decoder of one is being made .* \(3 s so far\)/),
        retryAfter: 3,
      }),
    );
    clock.advance(3000);
    await refused;
  });

  it("lets no request wait longer than PURSUIT_MAX_WAIT_MS", async () => {
    const { pursuit, clock } = setup("mute", { maxWaitMs: 2000 });
    const refused = expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(
      refusal("PURSUIT_NOT_READY", /2 s so far/),
    );
    clock.advance(2000);
    await refused;
  });

  it("lets a client that has gone go", async () => {
    const { pursuit } = setup("mute");
    const cancellation = new Cancellation();
    const gone = expect(pursuit.prepare({ cancellation }, atOnce)).rejects.toEqual(
      refusal("PURSUIT_CLIENT_CLOSED", /./),
    );
    cancellation.cancel();
    await gone;
    await expect(pursuit.prepare({ cancellation }, atOnce)).rejects.toEqual(refusal("PURSUIT_CLIENT_CLOSED", /./));
  });

  it("is refused with both numbers where it can never fit", async () => {
    const { runtime = 0 } = pursuitNeeds(manifest);
    const { pursuit, memory } = setup("ok", { limit: runtime - 1 });
    await expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(
      refusal(
        "PURSUIT_MEMORY_FULL",
        /^encoder: The pursuit over the decoder of one needs 65 MiB of memory; .* may have 65 MiB\. .*then send the request again/,
      ),
    );
    expect(memory.free).toBe(runtime - 1);
  });

  it("starts once there is room for what it needs, and asks again where no request waited for that", async () => {
    const { pursuit, memory } = setup("ok");
    const { runtime = 0 } = pursuitNeeds(manifest);
    const asked: number[] = [];
    const noneWaits: Admit = (needed) => {
      asked.push(needed);
      return Promise.reject(new EngineError("PURSUIT_NOT_READY", "No request waits.", { retryAfter: 1 }));
    };
    await expect(pursuit.prepare(patient(), noneWaits)).rejects.toEqual(refusal("PURSUIT_NOT_READY", /No request/));
    expect([asked, memory.free]).toEqual([[runtime], GiB]);
    await pursuit.prepare(patient(), atOnce);
    expect(pursuit.queue).toBe(pursuit.queue);
  });

  it("runs without its Gram matrix where that does not fit, and warns", async () => {
    const { runtime = 0 } = pursuitNeeds(manifest);
    const { pursuit, lines } = setup("greedy", { limit: runtime + 100 });
    await pursuit.prepare(patient(), atOnce);
    expect(pursuit.warning).toMatch(/^The pursuit over the decoder of one is served without its Gram matrix/);
    expect(lines).toContain(`warn: ${pursuit.warning!}`);
  });

  it("answers a failed start for a while, and then tries again", async () => {
    const { pursuit, lines, clock, memory } = setup("broken");
    const failed = refusal("PURSUIT_DICTIONARY_FAILED", /decoder of one cannot run: atoms: 3 of them are zero\./);
    await expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(failed);
    await expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(failed);
    const tries = (): number => lines.filter((line) => line.startsWith("error:")).length;
    expect(tries()).toBe(1);
    clock.advance(5000);
    await expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(failed);
    expect([tries(), memory.free]).toEqual([2, GiB]);
  });

  it("refuses weights that are not those of the served version", async () => {
    const { pursuit } = setup("changing");
    await expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(
      refusal("PURSUIT_DICTIONARY_FAILED", /weights file changed.*POST \/v2\/repository\/models\/one\/load/),
    );
  });

  it("is given up when its dictionary is unloaded", async () => {
    const { pursuit, memory } = setup("mute");
    const refused = expect(pursuit.prepare(patient(), atOnce)).rejects.toEqual(
      refusal("PURSUIT_DRAINING", /being unloaded/),
    );
    await pursuit.close();
    await refused;
    expect(memory.free).toBe(GiB);
  });
});
