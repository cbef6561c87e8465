import { afterEach, describe, expect, it } from "vitest";
import { REQUEST_EXAMPLES } from "../../../src/server/plugins/openapi-examples.ts";
import { type TestApp, testApp } from "../../support/test-app.ts";

interface Document {
  readonly components?: { readonly securitySchemes?: object };
  readonly security?: unknown;
  readonly paths: Readonly<Record<string, Readonly<Record<string, { operationId: string; security?: unknown }>>>>;
}

const KEY = "a-key-of-sixteen-or-more";
const MANAGEMENT = ["deleteSteeringSet", "putSteeringSet", "v2Load", "v2Unload"];
const HEALTH = new Set(["live", "ready", "v2Live", "v2Ready"]);

let test: TestApp;
afterEach(() => test.app.close());

async function describedWith(access: Parameters<typeof testApp>[1]): Promise<Document & { readonly locked: string[] }> {
  test = await testApp({}, access);
  const headers = { authorization: `Bearer ${KEY}` };
  const served = (await test.app.inject({ url: "/openapi.json", headers })).json<Document>();
  expect((await test.app.inject("/docs/json")).json()).toEqual(served);
  const operations = Object.values(served.paths).flatMap((methods) => Object.values(methods));
  const locked = operations.filter(({ security }) => security !== undefined);
  for (const { security } of locked) expect(security).toEqual([{ key: [] }]);
  return { ...served, locked: locked.map(({ operationId }) => operationId).toSorted() };
}
const operationsOf = ({ paths }: Document): string[] =>
  Object.values(paths)
    .flatMap((methods) => Object.values(methods))
    .map(({ operationId }) => operationId)
    .toSorted();

describe("the security of the OpenAPI document", () => {
  it("is none where no key is set", async () => {
    const { locked, security, components } = await describedWith({});
    expect([locked, security, components?.securitySchemes]).toEqual([[], undefined, undefined]);
  });

  it("is a key on every route but health where API keys are set", async () => {
    const served = await describedWith({ apiKeys: [KEY] });
    expect(served.components?.securitySchemes).toEqual({ key: { type: "http", scheme: "bearer" } });
    expect(served.locked).toEqual(operationsOf(served).filter((id) => !HEALTH.has(id)));
  });

  it("is a key on management calls where only management keys are set", async () => {
    expect((await describedWith({ adminKeys: [KEY] })).locked).toEqual(MANAGEMENT);
  });
});

describe("examples of requests", () => {
  it("are those of operations that there are", async () => {
    const ids = operationsOf(await describedWith({}));
    expect(Object.keys(REQUEST_EXAMPLES).filter((id) => !ids.includes(id))).toEqual([]);
  });
});
