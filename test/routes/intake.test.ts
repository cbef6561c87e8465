import type { IncomingMessage } from "node:http";
import { PassThrough, Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { Intake } from "../../src/routes/intake.ts";
import { ReleaseRate } from "../../src/routes/release-rate.ts";

/** A request of that many bytes, all there at once. */
function request(bytes: number): IncomingMessage {
  const stream = new PassThrough();
  stream.end(Buffer.alloc(bytes));
  return Object.assign(stream, { headers: { "content-length": String(bytes) } }) as unknown as IncomingMessage;
}

describe("Intake", () => {
  it("says when to come again by how fast bodies have been answered", async () => {
    let now = 0;
    let shed = 0;
    const limits = { maxBody: 1000, maxBytesInFlight: 1000, stallMs: 60_000 };
    const intake = new Intake(
      limits,
      () => shed++,
      () => now,
    );
    // 100 bytes each 100 ms, for long: a byte a millisecond.
    for (let i = 0; i < 100; i++) {
      const { release } = await intake.read(request(100));
      now += 100;
      release();
    }
    const { release } = await intake.read(request(800));
    const refused = await intake.read(request(600)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "PURSUIT_BYTES_IN_FLIGHT" });
    // 400 too many.
    const { retryAfter } = refused as { retryAfter: number };
    expect(retryAfter).toBeGreaterThan(0.36);
    expect(retryAfter).toBeLessThan(0.44);
    expect(shed).toBe(1);
    release();
    expect((await intake.read(request(600))).bytes).toHaveLength(600);
  });

  it("refuses for good what it could never hold", async () => {
    const intake = new Intake({ maxBody: 1000, maxBytesInFlight: 500, stallMs: 60_000 }, () => {});
    await expect(intake.read(request(501))).rejects.toMatchObject({
      code: "PURSUIT_BODY_TOO_LARGE",
      retryAfter: undefined,
    });
    expect((await intake.read(request(500))).bytes).toHaveLength(500);
  });
});

describe("a large body", () => {
  const limits = { maxBody: 1 << 24, maxBytesInFlight: 1 << 24, stallMs: 60_000 };
  const pieces = Array.from({ length: 40 }, (_, i) => Buffer.alloc(65_536, i));

  /** A body that is there whole, piece by piece. */
  const large = (declared: number): IncomingMessage =>
    Object.assign(Readable.from(pieces, { objectMode: false }), {
      headers: { "content-length": String(declared) },
    }) as unknown as IncomingMessage;

  it("is read in turns with others, to the last byte", async () => {
    const intake = new Intake(limits, () => {});
    let turns = 0;
    let over = false;
    const count = (): void => {
      turns++;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    const { bytes } = await intake.read(large(40 * 65_536));
    over = true;
    expect(Buffer.compare(bytes, Buffer.concat(pieces))).toBe(0);
    // A quarter of a mebibyte each.
    expect(turns).toBeGreaterThanOrEqual(9);
  });

  it("that ends before its length is no body", async () => {
    const intake = new Intake(limits, () => {});
    await expect(intake.read(large(40 * 65_536 + 1))).rejects.toMatchObject({ code: "PURSUIT_MALFORMED_BODY" });
  });
});

describe("ReleaseRate", () => {
  it("forgets, and guesses a second where it has seen nothing of late", () => {
    let now = 0;
    const rate = new ReleaseRate(() => now);
    expect(rate.untilReleased(5)).toBe(1000);
    rate.released(1000);
    expect(rate.untilReleased(500)).toBeCloseTo(500);
    now += 1000;
    expect(rate.untilReleased(500)).toBeCloseTo(500 * Math.E);
    now += 1000;
    expect(rate.untilReleased(1e9)).toBe(60_000);
    now += 100_000;
    expect(rate.untilReleased(500)).toBe(1000);
  });
});
