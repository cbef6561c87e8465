import { describe, expect, it } from "vitest";
import { Cancellation } from "../../../src/engine/core/cancellation.ts";

describe("a cancellation", () => {
  it("calls every listener, once", () => {
    const cancellation = new Cancellation();
    const heard: string[] = [];
    cancellation.listen(() => heard.push("a"));
    cancellation.listen(() => heard.push("b"));
    expect(cancellation.cancelled).toBe(false);
    cancellation.cancel();
    cancellation.cancel();
    expect(cancellation.cancelled).toBe(true);
    expect(heard).toEqual(["a", "b"]);
  });

  it("calls nobody who has stopped listening, nor one who comes afterwards", () => {
    const cancellation = new Cancellation();
    const heard: string[] = [];
    const early = (): void => void heard.push("early");
    cancellation.listen(early);
    cancellation.unlisten(early);
    cancellation.cancel();
    cancellation.listen(() => heard.push("late"));
    expect(heard).toEqual([]);
  });

  it("calls all who listened, though one of them stops another", () => {
    const cancellation = new Cancellation();
    const heard: string[] = [];
    const second = (): void => void heard.push("second");
    cancellation.listen(() => cancellation.unlisten(second));
    cancellation.listen(second);
    cancellation.cancel();
    expect(heard).toEqual(["second"]);
  });
});
