import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Column,
  type Frame,
  FrameError,
  frameChunks,
  FrameReader,
} from "../../../../src/engine/runtime/protocol/frame.ts";

const column: fc.Arbitrary<Column> = fc.oneof(
  fc.float32Array({ noNaN: true, maxLength: 9 }),
  fc.float64Array({ noNaN: true, maxLength: 9 }),
  fc.int32Array({ maxLength: 9 }),
  fc.uint32Array({ maxLength: 9 }),
  fc.uint8Array({ maxLength: 9 }),
);
const frame = fc.record({
  head: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.oneof(fc.string(), fc.integer(), fc.boolean())),
  columns: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), column, { noNullPrototype: true }),
});

/** The stream of these frames, handed to a reader in pieces of the given lengths (repeated). */
function readBack(
  frames: readonly { head: unknown; columns: Record<string, Column> }[],
  cuts: readonly number[],
): Frame[] {
  const stream = Buffer.concat(frames.flatMap(({ head, columns }) => frameChunks(head, columns)));
  const received: Frame[] = [];
  const reader = new FrameReader((one) => received.push(one));
  let at = 0;
  for (let i = 0; at < stream.length; i++) {
    const length = cuts[i % cuts.length] ?? 1;
    reader.push(stream.subarray(at, at + length));
    at += length;
  }
  expect(reader.idle).toBe(true);
  return received;
}

describe("frames", () => {
  it("come out as they went in, however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1 }),
        (frames, cuts) => {
          const received = readBack(frames, cuts);
          expect(received.map(({ head, columns }) => ({ head, columns: { ...columns } }))).toEqual(
            frames.map(({ head, columns }) => ({ head: JSON.parse(JSON.stringify(head)), columns: { ...columns } })),
          );
        },
      ),
    );
  });

  it("hold their columns in one transferable buffer, each aligned for its type", () => {
    const [one] = readBack([{ head: {}, columns: { a: Uint8Array.of(1, 2, 3), b: Float64Array.of(0.5) } }], [7]);
    expect(one?.columns["b"]?.buffer).toBe(one?.body);
    expect(one?.columns["b"]?.byteOffset).toBe(8);
  });

  it("join the pieces of a column on the way", () => {
    const chunks = frameChunks({}, { a: [Float32Array.of(1), Float32Array.of(2, 3), new Float32Array(0)] });
    const received: Frame[] = [];
    new FrameReader((one) => received.push(one)).push(Buffer.concat(chunks));
    expect(received[0]?.columns["a"]).toEqual(Float32Array.of(1, 2, 3));
  });

  it("of a foreign or broken stream are refused", () => {
    const reader = new FrameReader(() => expect.unreachable("no frame can come of this"));
    expect(() => reader.push(Buffer.from("GET / HTTP/1.1\r\n"))).toThrow(FrameError);
    const huge = Buffer.alloc(12);
    huge.write("PRT1");
    huge.writeUInt32LE(0xffffffff, 8);
    expect(() => new FrameReader(() => {}).push(huge)).toThrow(FrameError);
    const [prefix] = frameChunks({}, { a: Float32Array.of(1, 2) });
    const lying = Buffer.from(prefix!);
    lying.writeUInt32LE(0, 8);
    expect(() => new FrameReader(() => {}).push(lying)).toThrow(/beyond its frame/);
  });
});
