import { EventEmitter } from "node:events";
import type { FastifyReply, FastifyRequest } from "fastify";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type UnreadAnswer, UnreadAnswers } from "../../src/routes/unread-answers.ts";

const limits = { maxUnread: 1000, stallMs: 10_000 };

/** A connection whose client has taken some of what was written to it. */
class Connection {
  bytesWritten = 0;
  writableLength = 0;
  destroyed = false;
  readonly response = new EventEmitter();

  destroy(): void {
    this.destroyed = true;
  }

  write(bytes: number): void {
    this.bytesWritten += bytes;
    this.writableLength += bytes;
  }

  answer(unread: UnreadAnswers): UnreadAnswer {
    const request = { unread: null, raw: { socket: this } } as unknown as FastifyRequest;
    return unread.open(request, { raw: this.response } as unknown as FastifyReply);
  }
}

let now: number;
let shed: number;
let unread: UnreadAnswers;
beforeEach(() => {
  now = 0;
  shed = 0;
  unread = new UnreadAnswers(
    limits,
    () => shed++,
    () => now,
  );
});
afterEach(() => unread.close());

/** A connection that an answer of so many bytes waits on. */
function waiting(bytes: number): { connection: Connection; answer: UnreadAnswer } {
  const connection = new Connection();
  const answer = connection.answer(unread);
  expect(unread.resize(answer, bytes)).toBe(true);
  connection.write(bytes);
  return { connection, answer };
}

describe("answers that nobody has read", () => {
  it("hold their bytes until their response closes", () => {
    const { connection } = waiting(600);
    expect(unread.held).toBe(600);
    connection.response.emit("close");
    expect(unread.held).toBe(0);
  });

  it("have no room for another one, which is told so and counted", () => {
    waiting(600);
    const late = new Connection().answer(unread);
    expect(unread.resize(late, 500)).toBe(false);
    expect(unread.full(500)).toMatchObject({
      code: "PURSUIT_ANSWERS_UNREAD",
      message: expect.stringMatching(/hold 600 bytes; with the 500 of this one they would pass the limit of 1000/),
      retryAfter: 1,
    });
    expect(shed).toBe(1);
    expect(unread.resize(late, 400)).toBe(true);
  });

  it("give way to another one after a second without a byte read, the longest unread first, and no more than it needs", () => {
    const first = waiting(400);
    now = 500;
    const second = waiting(400);
    now = 2000;
    const late = new Connection().answer(unread);
    expect(unread.resize(late, 500)).toBe(true);
    expect([first.connection.destroyed, second.connection.destroyed, unread.held]).toEqual([true, false, 900]);
  });

  it("do not give way while their client reads", () => {
    const { connection } = waiting(600);
    for (now = 100; now < 5000; now += 100) {
      connection.writableLength--;
      expect(unread.resize(new Connection().answer(unread), 500)).toBe(false);
    }
    expect(connection.destroyed).toBe(false);
  });

  it("that are larger than the limit are sent alone", () => {
    const { connection } = waiting(5000);
    expect(unread.held).toBe(5000);
    expect(unread.resize(new Connection().answer(unread), 1)).toBe(false);
    connection.response.emit("close");
    waiting(1000);
  });
});

describe("a client that reads nothing", () => {
  it("for the time that a client may stall loses its connection, and one that reads does not", () => {
    vi.useFakeTimers();
    const timed = new UnreadAnswers(
      limits,
      () => {},
      () => now,
    );
    const [stalled, reading, done] = [new Connection(), new Connection(), new Connection()];
    for (const connection of [stalled, reading, done]) timed.resize(connection.answer(timed), 100);
    stalled.write(100);
    reading.write(100);
    for (let second = 1; second <= 15; second++) {
      now = second * 1000;
      reading.writableLength--;
      vi.advanceTimersByTime(1000);
      expect(stalled.destroyed).toBe(second >= 10);
    }
    expect([reading.destroyed, done.destroyed, timed.held]).toEqual([false, false, 200]);
    timed.close();
    vi.useRealTimers();
  });
});
