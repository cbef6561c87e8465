import { InvalidArgumentError, Option } from "commander";
import { WireError } from "../codecs/codec-error.ts";
import { readEncoder } from "../codecs/read-encoder.ts";
import type { RequestEncoder } from "../engine/core/dictionary.ts";

/** --encoder of the commands that encode, as a request names it. Undefined: the dictionary's own. */
export const encoderOption = (): Option =>
  new Option(
    "--encoder <encoder>",
    'own, matching_pursuit or orthogonal; or settings, such as \'{"kind": "orthogonal", "score": "absolute"}\'',
  ).argParser(parseEncoder);

function parseEncoder(given: string): RequestEncoder | undefined {
  try {
    return readEncoder(given, "it");
  } catch (error) {
    throw error instanceof WireError ? new InvalidArgumentError(error.message) : error;
  }
}
