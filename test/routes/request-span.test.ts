import type { FastifyRequest } from "fastify";
import { describe, expect, it } from "vitest";
import type { Stage } from "../../src/engine/core/telemetry.ts";
import { addTimes, HttpSpan } from "../../src/routes/request-span.ts";

const requestOf = (url: string, route: string | undefined, headers = {}): FastifyRequest =>
  ({ id: "7", method: "POST", url, headers, routeOptions: { url: route } }) as unknown as FastifyRequest;

describe("HttpSpan", () => {
  it("names the request without what only its client should know", () => {
    const url = "http://me:secret@x/v1/dictionaries/a/encode?key=secret";
    const span = new HttpSpan(requestOf(url, "/v1/dictionaries/:id/encode"));
    expect([span.requestId, span.method, span.path, span.route]).toEqual([
      "7",
      "POST",
      "/v1/dictionaries/a/encode",
      "/v1/dictionaries/{id}/encode",
    ]);
    expect(new HttpSpan(requestOf("/made/up", undefined)).route).toBe("unmatched");
  });

  it("takes the client's trace context", () => {
    const context = { traceparent: "00-1-2-01", tracestate: "a=b" };
    expect(new HttpSpan(requestOf("/", "/", context))).toMatchObject(context);
    expect(new HttpSpan(requestOf("/", "/")).traceparent).toBeUndefined();
  });
});

it("adds up the times of a request's stages, those of lines and of two encodes too", () => {
  const [span, other] = [new HttpSpan(requestOf("/", "/")), new HttpSpan(requestOf("/", "/"))];
  const stage = (name: Stage, of: HttpSpan, start: number, end: number): void =>
    addTimes({ type: "stage", stage: name, span: of, start, end });
  stage("queue", span, 10, 12);
  stage("encode", span, 12, 15);
  stage("queue", span, 20, 21);
  stage("write", other, 0, 9);
  addTimes({ type: "stage", stage: "runtime", span: { traceparent: "00-1-2-01" }, start: 0, end: 9 });
  expect(Object.entries(span.times)).toEqual([
    ["queue", 3],
    ["encode", 3],
  ]);
});
