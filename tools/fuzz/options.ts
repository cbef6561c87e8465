import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    seconds: { type: "string" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
  },
});

/** Of the command line. Every case follows from the seed and its own number. */
export const seed = Number(values.seed);
/** Cases at most; Infinity where a time is given instead. */
export const most = values.seconds === undefined ? Number(values.count) : Infinity;
/** Seconds to go on for; Infinity where a number of cases is given. */
export const secondsToRun = values.seconds === undefined ? Infinity : Number(values.seconds);
/** The one case to run; undefined: all. */
export const only = values.only === undefined ? undefined : Number(values.only);
