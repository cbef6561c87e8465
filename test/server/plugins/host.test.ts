import { describe, expect, it } from "vitest";
import { hostTest, isLoopback, parseHost } from "../../../src/server/plugins/host.ts";

describe("a loopback address", () => {
  it.each(["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])("is %s", (address) => {
    expect(isLoopback(address)).toBe(true);
  });

  it.each(["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "::ffff:10.0.0.1", "localhost", "127.0.0.1.example", ""])(
    "is not %j",
    (address) => {
      expect(isLoopback(address)).toBe(false);
    },
  );
});

describe("a Host header", () => {
  it.each([
    ["localhost", "localhost", null],
    ["LocalHost:8080", "localhost", 8080],
    ["localhost.:8080", "localhost", 8080],
    ["127.0.0.1:80", "127.0.0.1", 80],
    ["[::1]:8080", "::1", 8080],
    ["[::1]", "::1", null],
  ])("%s is split", (text, name, port) => {
    expect(parseHost(text)).toEqual({ name, port });
  });

  it.each([
    "",
    ":8080",
    "a b",
    "user@localhost:8080",
    "localhost:8080/x",
    "localhost:",
    "::1",
    "a,b",
    "localhost:123456",
  ])("%j is none", (text) => {
    expect(parseHost(text)).toBeNull();
  });
});

describe("on loopback", () => {
  const reached = { listening: "127.0.0.1", address: "127.0.0.1", port: 8080 };
  const accepts = hostTest({ allowedHosts: [] });

  it.each(["localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.2:8080", "[::1]:8080"])(
    "%s is accepted",
    (host) => {
      expect(accepts(host, reached)).toBe(true);
    },
  );

  it.each([
    "evil.example:8080",
    "evil.example",
    "localhost.evil.example:8080",
    "127.0.0.1.evil.example:8080",
    "x",
    "",
    "localhost",
    "localhost:8081",
    "127.0.0.1",
    "10.0.0.1:8080",
    "localhost:8080@evil.example",
  ])("%j is refused", (host) => {
    expect(accepts(host, reached)).toBe(false);
  });

  it("a Host without a port means port 80", () => {
    expect(accepts("localhost", { ...reached, port: 80 })).toBe(true);
  });

  it("allowed hosts are accepted too, with their port or any", () => {
    const test = hostTest({ allowedHosts: ["pursuit.example.org", "pursuit:9000"] });
    for (const host of ["pursuit.example.org", "Pursuit.Example.org:8443", "pursuit:9000", "localhost:8080"])
      expect([host, test(host, reached)]).toEqual([host, true]);
    for (const host of ["pursuit", "pursuit:8080", "a.pursuit.example.org", "evil.example"])
      expect([host, test(host, reached)]).toEqual([host, false]);
  });

  it("* accepts any", () => {
    expect(hostTest({ allowedHosts: ["*"] })("evil.example", reached)).toBe(true);
  });
});

describe("on another address", () => {
  const reached = { listening: "0.0.0.0", address: "::ffff:10.1.2.3", port: 8080 };

  it("any host is accepted while none is allowed by name", () => {
    expect(hostTest({ allowedHosts: [] })("evil.example", reached)).toBe(true);
  });

  it("allowed hosts and the address itself are accepted, and nothing else", () => {
    const accepts = hostTest({ allowedHosts: ["pursuit.default.svc"] });
    for (const host of ["pursuit.default.svc:8080", "10.1.2.3:8080"])
      expect([host, accepts(host, reached)]).toEqual([host, true]);
    for (const host of ["evil.example:8080", "10.1.2.3", "10.1.2.4:8080", "localhost:8080", "127.0.0.1:8080"])
      expect([host, accepts(host, reached)]).toEqual([host, false]);
  });
});
