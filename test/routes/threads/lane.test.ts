import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { Cancellation } from "../../../src/engine/core/cancellation.ts";
import { Lane } from "../../../src/routes/threads/lane.ts";
import type { WireTask } from "../../../src/routes/threads/worker.ts";
import { itInFull } from "../../support/full.ts";

const MiB = 1 << 20;
/** As built: a heap as small as these is too small for the sources' loader. */
const filename = fileURLToPath(new URL("../../../dist/routes/threads/worker.js", import.meta.url));
const limits = { maxRows: 2 ** 31, maxUnpacked: 2 ** 40 };

let lane: Lane;
afterEach(() => lane.close());

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text));
const decode = (bytes: Uint8Array<ArrayBuffer>): WireTask => ({
  type: "read",
  kind: "decode",
  bytes,
  form: { type: "json", sizes: null },
  limits,
});
const codes = (label: string, count: number): Uint8Array<ArrayBuffer> =>
  bytesOf(`{"codes": [{"indices": [1], "values": [0.5], "labels": [${`"${label}",`.repeat(count)}null]}]}`);
const run = (bytes: Uint8Array<ArrayBuffer>, cancellation: Cancellation | null = null) =>
  lane.run({ task: decode(bytes), transfer: [bytes.buffer], cancellation });
const READ = { body: { codes: { count: 1 } } };

describe("a lane", () => {
  itInFull("refuses the task whose thread runs out of memory, and that one alone", async () => {
    lane = new Lane({ filename, threads: 1, heap: 32 * MiB, warn: () => {} });
    // Two million texts that differ take twice the heap.
    const texts = Array.from({ length: 2_000_000 }, (_, i) => `"${i.toString(36)}"`);
    const heavy = bytesOf(`{"codes": [{"indices": [], "values": [], "labels": [${texts.join(",")}]}]}`);
    const [before, refused, after] = await Promise.allSettled([run(codes("a", 9)), run(heavy), run(codes("b", 9))]);
    expect(before).toMatchObject({ status: "fulfilled", value: READ });
    expect(refused).toMatchObject({
      reason: { code: "PURSUIT_BODY_TOO_LARGE", message: expect.stringContaining(`over ${32 * MiB} bytes of memory`) },
    });
    expect(after).toMatchObject({ status: "fulfilled", value: READ });
  });

  it("does not begin a task whose client has gone", async () => {
    lane = new Lane({ filename, threads: 1, heap: 256 * MiB, warn: () => {} });
    const gone = new Cancellation();
    const left = codes("b", 9);
    const [first, second, third] = [run(codes("a", 200_000)), run(left, gone), run(codes("c", 9), new Cancellation())];
    gone.cancel();
    await expect(second).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
    // Its memory was not handed to a thread.
    expect(left.length).toBeGreaterThan(0);
    expect(await first).toMatchObject(READ);
    expect(await third).toMatchObject(READ);
    await expect(run(left, gone)).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
  });
});
