import type { Budget } from "./codecs.ts";
import { type ExpectedCodes, expectedCodes } from "./expected-codes.ts";
import { readRowPool, type RowPool } from "./row-pool.ts";

/** Rows of a dictionary and the codes expected of them under a budget, each made once. */
export type CodesSource = (
  id: string,
  budget: Budget,
) => Promise<{ readonly pool: RowPool; readonly expected: ExpectedCodes }>;

export function codesOf(modelsDir: string, base: string): CodesSource {
  const pools = new Map<string, Promise<RowPool>>();
  const codes = new Map<string, Promise<ExpectedCodes>>();
  return async (id, budget) => {
    const pool = await remembered(pools, id, () => readRowPool(modelsDir, id));
    const key = `${id} ${JSON.stringify(budget)}`;
    return { pool, expected: await remembered(codes, key, () => expectedCodes(base, pool, budget)) };
  };
}

function remembered<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let found = known.get(key);
  if (found === undefined) known.set(key, (found = make()));
  return found;
}
