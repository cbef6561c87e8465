import { Option } from "commander";
import { REQUEST_ENCODERS } from "../engine/core/dictionary.ts";

/** The dictionary's own encoder, or what an encode request may name instead of it. */
const ENCODERS = ["own", ...REQUEST_ENCODERS] as const;
export type EncoderName = (typeof ENCODERS)[number];

/** --encoder of the commands that encode. */
export const encoderOption = (): Option =>
  new Option("--encoder <encoder>", "the dictionary's own, or orthogonal matching pursuit over its atoms")
    .choices(ENCODERS)
    .default("own");
