import type { IncomingMessage } from "node:http";
import { PassThrough, Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Intake } from "../../src/routes/intake.ts";

/** A request of that many bytes, all there at once. */
function whole(bytes: number): IncomingMessage {
  const stream = new PassThrough();
  stream.end(Buffer.alloc(bytes));
  return Object.assign(stream, { headers: { "content-length": String(bytes) } }) as unknown as IncomingMessage;
}

describe("Intake", () => {
  it("says when to come again by how fast bodies have been answered", async () => {
    let now = 0;
    let shed = 0;
    const limits = { maxBody: 1000, maxBytesInFlight: 1000, stallMs: 60_000, minRate: 1024 };
    const intake = new Intake(
      limits,
      () => shed++,
      () => now,
    );
    // 100 bytes each 100 ms, for long: a byte a millisecond.
    for (let i = 0; i < 100; i++) {
      const { claim } = await intake.read(whole(100));
      now += 100;
      claim.release();
    }
    const { claim } = await intake.read(whole(800));
    const refused = await intake.read(whole(600)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "PURSUIT_BYTES_IN_FLIGHT" });
    // 400 too many.
    const { retryAfter } = refused as { retryAfter: number };
    expect(retryAfter).toBeGreaterThan(0.36);
    expect(retryAfter).toBeLessThan(0.44);
    expect(shed).toBe(1);
    claim.release();
    expect((await intake.read(whole(600))).bytes).toHaveLength(600);
  });

  it("refuses for good what it could never hold", async () => {
    const intake = new Intake({ maxBody: 1000, maxBytesInFlight: 500, stallMs: 60_000, minRate: 1024 }, () => {});
    await expect(intake.read(whole(501))).rejects.toMatchObject({
      code: "PURSUIT_BODY_TOO_LARGE",
      retryAfter: undefined,
    });
    expect((await intake.read(whole(500))).bytes).toHaveLength(500);
  });
});

describe("a large body", () => {
  const limits = { maxBody: 1 << 24, maxBytesInFlight: 1 << 24, stallMs: 60_000, minRate: 1024 };
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

describe("a body on its way", () => {
  const MiB = 1 << 20;
  const limits = { maxBody: 64 * MiB, maxBytesInFlight: 64 * MiB, stallMs: 10_000, minRate: 1024 };

  /** A request that declares a length, and the stream that its bytes are written to. */
  function arriving(declared?: number): { stream: PassThrough; request: IncomingMessage } {
    const stream = new PassThrough({ highWaterMark: 128 * MiB });
    const headers = declared === undefined ? {} : { "content-length": String(declared) };
    return { stream, request: Object.assign(stream, { headers }) as unknown as IncomingMessage };
  }

  it("counts as it comes: what it declares holds nothing", async () => {
    const intake = new Intake(limits, () => {});
    const promised = Array.from({ length: 100 }, () => {
      const { stream, request } = arriving(50 * MiB);
      const read = intake.read(request);
      stream.write("{");
      return { stream, read };
    });
    const large = await intake.read(whole(40 * MiB));
    expect(large.bytes).toHaveLength(40 * MiB);
    for (const { stream, read } of promised) {
      stream.destroy();
      await expect(read).rejects.toMatchObject({ code: "PURSUIT_MALFORMED_BODY" });
    }
    large.claim.release();
    expect((await intake.read(whole(56 * MiB))).bytes).toHaveLength(56 * MiB);
  });

  it("is refused once it no longer fits, and what it held is given back", async () => {
    const intake = new Intake(limits, () => {});
    const [one, other] = [arriving(40 * MiB), arriving(40 * MiB)];
    const reads = [intake.read(one.request), intake.read(other.request)];
    one.stream.end(Buffer.alloc(40 * MiB));
    expect((await reads[0]!).bytes).toHaveLength(40 * MiB);
    other.stream.end(Buffer.alloc(40 * MiB));
    await expect(reads[1]).rejects.toMatchObject({
      code: "PURSUIT_BYTES_IN_FLIGHT",
      message: expect.stringMatching(/limit of 58720256 \(the rest is kept for bodies up to 65536 bytes\)/),
    });
    expect((await intake.read(whole(16 * MiB))).bytes).toHaveLength(16 * MiB);
  });

  it("of up to 64 KiB finds a share that large ones cannot take", async () => {
    const intake = new Intake(limits, () => {});
    const large = await intake.read(whole(56 * MiB));
    await expect(intake.read(whole(65_537))).rejects.toMatchObject({ code: "PURSUIT_BYTES_IN_FLIGHT" });
    const small = await Promise.all(Array.from({ length: 128 }, () => intake.read(whole(65_536))));
    await expect(intake.read(whole(1))).rejects.toMatchObject({ code: "PURSUIT_BYTES_IN_FLIGHT" });
    for (const { claim } of [large, ...small]) claim.release();
    expect((await intake.read(whole(56 * MiB))).bytes).toHaveLength(56 * MiB);
  });

  it("takes memory for what came, not for what it declares", async () => {
    const intake = new Intake(limits, () => {});
    const alloc = vi.spyOn(Buffer, "allocUnsafeSlow");
    const { stream, request: declaring } = arriving(64 * MiB - 8 * MiB);
    const read = intake.read(declaring);
    stream.write(Buffer.alloc(7 * MiB - 1, 1));
    await new Promise(setImmediate);
    expect(alloc).not.toHaveBeenCalled();
    stream.end(Buffer.alloc(49 * MiB + 1, 2));
    const { bytes } = await read;
    expect([bytes.length, bytes[0], bytes[7 * MiB - 2], bytes[7 * MiB - 1], bytes.at(-1)]).toEqual([
      56 * MiB,
      1,
      1,
      2,
      2,
    ]);
    alloc.mockRestore();
  });

  it("of undeclared length that comes byte by byte takes little more memory than its bytes", async () => {
    const intake = new Intake(limits, () => {});
    const { stream, request: chunked } = arriving();
    const read = intake.read(chunked);
    const sent = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7919) % 251));
    for (let i = 0; i < sent.length; i++) stream.write(sent.subarray(i, i + 1));
    stream.end();
    expect(Buffer.compare((await read).bytes, sent)).toBe(0);
  });
});

describe("a slow client", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const limits = { maxBody: 1 << 20, maxBytesInFlight: 1 << 22, stallMs: 10_000, minRate: 1000 };

  /** Sends so many bytes each second for so many seconds. */
  async function drip(bytes: number, seconds: number): Promise<unknown> {
    const intake = new Intake(limits, () => {});
    const stream = new PassThrough();
    const headers = { "content-length": "1000000" };
    const read = intake.read(Object.assign(stream, { headers }) as unknown as IncomingMessage);
    const ended = read.then(
      () => "read",
      (error: unknown) => error,
    );
    for (let second = 0; second < seconds; second++) {
      if (bytes > 0) stream.write(Buffer.alloc(bytes));
      await vi.advanceTimersByTimeAsync(1000);
    }
    const state = await Promise.race([ended, Promise.resolve("reading")]);
    stream.destroy();
    await ended;
    return state;
  }

  it.each([
    [0, 10],
    [1, 10],
    [700, 10],
  ])("that sends %d bytes a second is given up with 408 after %d s", async (bytes, seconds) => {
    expect(await drip(bytes, seconds - 1)).toBe("reading");
    expect(await drip(bytes, seconds + 5)).toMatchObject({
      code: "PURSUIT_BODY_STALLED",
      message: expect.stringMatching(/under 1000 bytes a second for 10000 ms/),
    });
  });

  it("that keeps the rate goes on", async () => {
    expect(await drip(1100, 200)).toBe("reading");
  });

  it("that keeps the rate for five minutes is given up then", async () => {
    expect(await drip(1100, 320)).toMatchObject({ code: "PURSUIT_BODY_STALLED" });
  });
});
