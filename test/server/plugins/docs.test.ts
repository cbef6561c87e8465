import { afterEach, describe, expect, it } from "vitest";
import { REQUEST_EXAMPLES } from "../../../src/server/plugins/openapi-examples.ts";
import { type TestApp, testApp } from "../../support/test-app.ts";

interface Document {
  readonly components?: { readonly securitySchemes?: object };
  readonly security?: unknown;
  readonly paths: Readonly<Record<string, Readonly<Record<string, { operationId: string; security?: unknown }>>>>;
}

const KEY = "a-key-of-sixteen-or-more";
const MANAGEMENT = [
  "deleteFeatureLabel",
  "deleteSteeringSet",
  "putFeatureLabel",
  "putSteeringSet",
  "v2Load",
  "v2Unload",
];
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

describe("the schemas of the OpenAPI document", () => {
  it("are listed once by name, and every reference finds one", async () => {
    const text = JSON.stringify(await describedWith({}));
    const referred = new Set(Array.from(text.matchAll(/"#\/components\/schemas\/(\w+)"/g), ([, name]) => name!));
    const { schemas } = (JSON.parse(text) as { components: { schemas: Readonly<Record<string, object>> } }).components;
    expect(Object.keys(schemas).toSorted()).toEqual([...referred].toSorted());
    expect(Object.keys(schemas)).toEqual(expect.arrayContaining(["Budget", "CsrCodes", "Dictionary", "SparseCode"]));
    expect(text).not.toContain('"title":"Budget"');
  });

  it("tells what a parameter's text holds", async () => {
    interface Parameter {
      readonly name: string;
      readonly schema: unknown;
      readonly example?: unknown;
    }
    const { paths } = await describedWith({});
    const { parameters } = paths["/v1/dictionaries/{id}/features"]!["get"] as unknown as {
      readonly parameters: readonly Parameter[];
    };
    const limit = parameters.find(({ name }) => name === "limit");
    expect(limit).toMatchObject({ schema: { type: "integer", minimum: 1, maximum: 1000 }, example: 5 });
    expect(JSON.stringify(paths)).not.toContain("documented");
  });
});
