/** Every example of the OpenAPI document succeeds on a server of the shipped dictionaries. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { get } from "../support/client.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly required?: boolean;
  readonly example?: string | number | Readonly<Record<string, string>>;
}
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example?: unknown }>> };
}

/** Sets are saved before they are read, and a dictionary is used before it is unloaded and loaded again. */
const ORDER = ["put", "get", "post", "delete"];
const LAST = ["v2Unload", "v2Load"];

let server: RunningServer;
let operations: readonly (readonly [string, string, Operation])[];
beforeAll(async () => {
  server = await startServer(fileURLToPath(new URL("../../models", import.meta.url)), temporaryFolder());
  const { paths } = await get<{ paths: Record<string, Record<string, Operation>> }>(server.base, "/openapi.json");
  operations = Object.entries(paths)
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [method, path, operation] as const),
    )
    .toSorted(
      ([a, , { operationId: x }], [b, , { operationId: y }]) =>
        LAST.indexOf(x) - LAST.indexOf(y) || ORDER.indexOf(a) - ORDER.indexOf(b),
    );
});
afterAll(() => server.stop());

function urlOf(path: string, parameters: readonly Parameter[]): string {
  const url = new URL(server.base);
  url.pathname = path.replaceAll(/\{(\w+)\}/g, (_, name) =>
    encodeURIComponent(parameters.find((parameter) => parameter.name === name)?.example as string | number),
  );
  for (const { in: place, name, example } of parameters) {
    if (place !== "query" || example === undefined) continue;
    // An object in a query is written as one parameter for each of its fields.
    if (typeof example === "object")
      for (const [field, value] of Object.entries(example)) url.searchParams.set(field, value);
    else url.searchParams.set(name, String(example));
  }
  return url.href;
}

describe("the OpenAPI document", () => {
  it("has an example wherever a request needs a value", () => {
    for (const [, , { operationId, parameters = [], requestBody }] of operations) {
      const missing = parameters.filter(({ required, example }) => required === true && example === undefined);
      expect([operationId, missing]).toEqual([operationId, []]);
      if (requestBody) expect([operationId, requestBody.content["application/json"]?.example]).not.toContain(undefined);
    }
  });

  it("has examples that succeed", async () => {
    let tried = 0;
    for (const [method, path, { operationId, parameters = [], requestBody }] of operations) {
      const bodies = Object.entries(requestBody?.content ?? {}).filter(([, { example }]) => example !== undefined);
      for (const [type, { example }] of requestBody ? bodies : [["", {}] as const]) {
        const answer = await fetch(urlOf(path, parameters), {
          method: method.toUpperCase(),
          ...(type !== "" && {
            headers: { "content-type": type },
            body: typeof example === "string" ? example : JSON.stringify(example),
          }),
        });
        const text = await answer.text();
        expect([operationId, type, answer.status, text.slice(0, 300)]).toEqual([
          operationId,
          type,
          expect.toSatisfy((status: number) => status >= 200 && status < 300),
          expect.not.stringContaining('"error"'),
        ]);
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(operations.length);
  });

  it("shows the body of a request before a dozen fields of a query", () => {
    for (const [, , { parameters = [], requestBody }] of operations) {
      if (requestBody) expect(parameters.filter(({ in: place }) => place === "query").length).toBeLessThanOrEqual(1);
    }
  });
});
