import { availableParallelism } from "node:os";
import type { Scenario } from "../scenario.ts";
import { beside } from "./beside.ts";
import { burst } from "./burst.ts";
import { degrade } from "./degrade.ts";
import { mixed } from "./mixed.ts";
import { overload, overloadApart } from "./overload.ts";
import { ownCpu } from "./own-cpu.ts";
import { singleRow } from "./single-row.ts";
import { steady } from "./steady.ts";
import { sweep } from "./sweep.ts";

/** In the order in which they run. Where there is one core nothing can be apart. */
export const SCENARIOS: readonly Scenario[] = [
  ownCpu,
  singleRow,
  steady,
  burst,
  sweep,
  mixed,
  beside,
  degrade,
  overload,
  ...(availableParallelism() > 1 ? [overloadApart] : []),
];
