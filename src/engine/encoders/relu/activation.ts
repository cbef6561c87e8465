import type { Activation } from "../active-atoms.ts";

export const createReluActivation = (): Activation => (h, active) => {
  for (let j = 0; j < h.length; j++) {
    const value = h[j]!;
    if (value > 0 && value < Infinity) active.push(j, value);
  }
};
