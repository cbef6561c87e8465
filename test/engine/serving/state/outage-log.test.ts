import { expect, it } from "vitest";
import { OutageLog } from "../../../../src/engine/serving/state/outage-log.ts";

function world() {
  const lines: string[] = [];
  const clock = { now: 0 };
  const log = new OutageLog(
    "the place",
    (level, message) => lines.push(`${level} ${message}`),
    () => clock.now,
  );
  return { lines, clock, log };
}
const fault = new Error("broken.");

it("says once that the database fails, and once that it works again", () => {
  const { lines, log } = world();
  log.succeeded("read");
  for (let i = 0; i < 1000; i++) log.failed(fault, false);
  log.succeeded("read");
  log.succeeded("save");
  expect(lines).toEqual([
    "error Steering sets and labels cannot be read or saved: the place: broken.",
    "info Steering sets and labels can be read and saved again: the place; failures: 1000.",
  ]);
});

it("waits for a save after a full disk, since reads work on", () => {
  const { lines, log } = world();
  log.failed(fault, true);
  log.succeeded("read");
  expect(lines).toEqual(["error Steering sets and labels cannot be saved: the place: broken."]);
  log.succeeded("save");
  expect(lines).toHaveLength(2);
});

it("gives a line a minute to a database that fails and works in turns", () => {
  const { lines, clock, log } = world();
  for (; clock.now < 180_000; clock.now += 1000) {
    log.failed(fault, false);
    log.succeeded("read");
  }
  expect(lines.filter((line) => line.startsWith("error"))).toHaveLength(3);
  expect(lines).toHaveLength(6);
});

it("says what lasts, once a minute has passed since the line before", () => {
  const { lines, clock, log } = world();
  log.failed(fault, false);
  log.succeeded("read");
  for (; clock.now <= 60_000; clock.now += 10_000) log.failed(fault, false);
  expect(lines.filter((line) => line.startsWith("error"))).toHaveLength(2);
});

it("names the faults of every address of a host", () => {
  const { lines, log } = world();
  log.failed(new AggregateError([new Error("no route."), "odd"]), false);
  expect(lines[0]).toContain("the place: no route; odd.");
});
