import { onePassSpec } from "../one-pass.ts";

/** a = max(h, 0): SAELens `standard`, dictionary_learning `AutoEncoder`. */
export const reluSpec = onePassSpec({ kind: "relu" });
