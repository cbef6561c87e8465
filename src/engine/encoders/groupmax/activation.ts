import type { Activation } from "../../core/candidate-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { GroupmaxSettings } from "./spec.ts";

export const createGroupmaxActivation = ({ m, settings }: OnePassWeights<GroupmaxSettings>): Activation => ({
  screen: { by: "group", size: m / settings.k },
  value: (h) => (h > 0 ? h : 0),
});
