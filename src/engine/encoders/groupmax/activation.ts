import type { Activation } from "../active-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { GroupmaxSettings } from "./spec.ts";

export function createGroupmaxActivation({ m, settings }: OnePassWeights<GroupmaxSettings>): Activation {
  const size = m / settings.k;
  return (h, active) => {
    for (let from = 0; from < h.length; from += size) {
      let best = from;
      for (let j = from + 1; j < Math.min(from + size, h.length); j++) if (h[j]! > h[best]!) best = j;
      const value = h[best]!;
      if (value > 0 && value < Infinity) active.push(best, value);
    }
  };
}
