/** Labels over HTTP, beside codes. */
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EncodeAnswerSchema } from "../../src/routes/v1/schemas.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

let test: TestApp;
beforeAll(async () => {
  test = await testApp();
  test.engine.labelled = true;
});
afterAll(() => test.app.close());

const isDescribed = new Ajv({ strict: false }).compile(EncodeAnswerSchema);
const encode = (payload: object) => test.app.inject({ method: "POST", url: "/v1/dictionaries/small/encode", payload });
const get = (url: string) => test.app.inject({ method: "GET", url });

describe("include: labels", () => {
  const body = { inputs: [[7, 2]], include: ["labels"] };

  it("puts a feature's text beside its index", async () => {
    for (const [format, labels] of [
      ["sparse", ["the first"]],
      ["map", { 0: "the first" }],
    ] as const) {
      const answer = (await encode({ ...body, format })).json<{ codes: unknown[] }>();
      expect(answer.codes[0]).toMatchObject({ labels });
      expect(isDescribed(answer)).toBe(true);
    }
    expect((await encode({ ...body, format: "csr" })).json()).toMatchObject({ indices: [0], labels: ["the first"] });
  });

  it("is refused where the dictionary was replaced before the code was there: they would be another's", async () => {
    const own = test.engine.encode.bind(test.engine);
    test.engine.encode = async (...given) => ({ ...(await own(...given)), sha256: "cd".repeat(32) });
    const answer = await encode(body);
    test.engine.encode = own;
    expect(answer.json()).toMatchObject({ status: 409, code: "PURSUIT_BEING_REPLACED" });
    expect(answer.headers["retry-after"]).toBe("1");
    expect((await encode(body)).statusCode).toBe(200);
  });

  it("is refused where nothing stands beside a label", async () => {
    const answer = await encode({ ...body, format: "dense" });
    expect(answer.json()).toMatchObject({ status: 422, code: "PURSUIT_INVALID_FIELD" });
  });

  it("is refused before anything is encoded where there are none", async () => {
    test.engine.labelled = false;
    const before = test.engine.encodes.length;
    expect((await encode(body)).json()).toMatchObject({ status: 404, code: "PURSUIT_NO_LABELS" });
    expect((await get("/v1/dictionaries/small/features?query=a")).json()).toMatchObject({ status: 404 });
    expect(test.engine.encodes.length).toBe(before);
    test.engine.labelled = true;
  });
});
