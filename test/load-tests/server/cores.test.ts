import { expect, test } from "vitest";
import { halves } from "../../../load-tests/server/cores.ts";

const status = (list: string): string => `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nThreads:\t1\n`;

test("the cores that there are come in two halves, the clients' the larger one", () => {
  expect(halves(status("0-1"))).toEqual({ server: [0], clients: [1] });
  expect(halves(status("2-4,7,9-10"))).toEqual({ server: [2, 3, 4], clients: [7, 9, 10] });
  expect(halves(status("0,3,5"))).toEqual({ server: [0], clients: [3, 5] });
});

test("one core cannot be divided", () => {
  expect(() => halves(status("3"))).toThrow("there is 3");
});
