import { PassThrough } from "node:stream";
import type { IncomingMessage } from "node:http";
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { inflaterFor } from "../../src/routes/codings.ts";
import { Intake } from "../../src/routes/intake.ts";
import { random } from "../support/seeded.ts";

const MiB = 1 << 20;
const limits = { maxBody: 64 * MiB, maxBytesInFlight: 512 * MiB, stallMs: 60_000, minRate: 1 };
/** Brotli's slowest setting, its default, takes a minute for what is read here. */
const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } };
const PACK = {
  gzip: (body: Buffer) => gzipSync(body),
  deflate: (body: Buffer) => deflateSync(body),
  br: (body: Buffer) => brotliCompressSync(body, QUICK),
} as const;

function read(coding: keyof typeof PACK, body: Buffer) {
  const stream = new PassThrough({ highWaterMark: 64 * MiB });
  const packed = PACK[coding](body);
  stream.end(packed);
  const request = Object.assign(stream, { complete: true, headers: { "content-length": String(packed.length) } });
  return new Intake(limits, () => {}).read(request as unknown as IncomingMessage, inflaterFor(coding));
}

describe.each(Object.keys(PACK) as (keyof typeof PACK)[])("a body in %s", (coding) => {
  it("that inflates a hundredfold and more is refused as soon as it does", async () => {
    const refused = await read(coding, Buffer.alloc(32 * MiB)).catch((error: unknown) => error as Error);
    expect(refused).toMatchObject({ code: "PURSUIT_BODY_TOO_LARGE" });
    const [, packed, inflated] = /first (\d+) bytes .* inflate to over (\d+) bytes/.exec((refused as Error).message)!;
    // Not at its end: it is 32 MiB.
    expect(Number(inflated)).toBeLessThan(2 * MiB + Number(packed) * 101);
  });

  it("is taken where it is small, however far it inflates", async () => {
    expect((await read(coding, Buffer.alloc(MiB, " "))).bytes).toHaveLength(MiB);
  });

  it("of rows as text is taken", async () => {
    const { normal } = random(5);
    const rows = JSON.stringify(Array.from({ length: 120_000 }, () => Math.fround(normal())));
    expect(Buffer.from((await read(coding, Buffer.from(rows))).bytes).toString()).toBe(rows);
  });
});
