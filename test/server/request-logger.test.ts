import { Writable } from "node:stream";
import { type Logger, pino } from "pino";
import { describe, expect, it, vi } from "vitest";
import { RequestLogger } from "../../src/server/request-logger.ts";

function loggerTo(lines: Record<string, unknown>[], level = "info"): Logger {
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  return pino({ level, base: null }, stream);
}

describe("a request's logger", () => {
  it("says what it is told under its request's id, by one child", () => {
    const lines: Record<string, unknown>[] = [];
    const parent = loggerTo(lines);
    const child = vi.spyOn(parent, "child");
    const logger = new RequestLogger(parent, { request_id: "r1" }, {});
    logger.warn({ row: 3 }, "one");
    logger.error("two");
    expect(child).toHaveBeenCalledOnce();
    logger.child({ more: true }).info("three");
    expect(lines.map(({ msg, request_id: id, row, more }) => [msg, id, row, more])).toEqual([
      ["one", "r1", 3, undefined],
      ["two", "r1", undefined, undefined],
      ["three", "r1", undefined, true],
    ]);
    expect(logger.level).toBe("info");
  });

  it("makes no child of what the level leaves out", () => {
    const lines: Record<string, unknown>[] = [];
    const parent = loggerTo(lines);
    const child = vi.spyOn(parent, "child");
    new RequestLogger(parent, { request_id: "r1" }, {}).debug("unheard");
    expect(lines).toEqual([]);
    expect(child).not.toHaveBeenCalled();
  });
});
