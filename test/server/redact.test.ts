import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { redactor } from "../../src/server/redact.ts";

const KEY = "a-key.of_16+/chars==";

describe("a redactor", () => {
  const redact = redactor([KEY, `${KEY}-longer`]);

  it("takes a secret out of a text, wherever it is", () => {
    expect(redact(`GET /v1?key=${KEY}&b=1 by http://me:${KEY}@host`)).toBe(
      "GET /v1?key=[redacted]&b=1 by http://me:[redacted]@host",
    );
    expect(redact(`${KEY}-longer`)).toBe("[redacted]");
    expect(redact(JSON.stringify({ text: KEY }))).toBe('{"text":"[redacted]"}');
  });

  it("takes it out percent-encoded, as much of it as may be", () => {
    expect(redact(encodeURIComponent(KEY))).toBe("[redacted]");
    const encoded = KEY.replace(/./g, (one) => `%${one.charCodeAt(0).toString(16)}`);
    expect(redact(`?token=${encoded} ${encoded.toUpperCase()}`)).toBe("?token=[redacted] [redacted]");
  });

  it("leaves a text without one as it is", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!text.includes(KEY));
        expect(redact(text)).toBe(text);
      }),
      { seed: 1 },
    );
    expect(redactor([])("any")).toBe("any");
    expect(redactor([""])("any")).toBe("any");
  });
});
