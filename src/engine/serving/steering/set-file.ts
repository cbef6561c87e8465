import { createHash } from "node:crypto";
import type { Edit } from "../../core/edits.ts";
import { readEdits } from "../../core/read-edits.ts";
import { isObject } from "../../core/is-object.ts";
import { FormatError } from "../../dictionaries/formats/format-error.ts";
import { parseJsonText } from "../../dictionaries/formats/json-file.ts";

/** A named set as it lies on disk. */
export interface StoredSet {
  /** Version of the dictionary that it was made for. */
  readonly sha256: string;
  readonly edits: readonly Edit[];
}

const FORMAT = 1;

/** The file's text: JSON with the sha256 of what it says, so that a torn or edited file is told from a whole one. */
export function setFileText(set: StoredSet): string {
  return `${JSON.stringify({ format: FORMAT, sha256: set.sha256, edits: set.edits, check: versionOf(set) })}\n`;
}

/** Changes with everything that the set says. */
export function versionOf({ sha256, edits }: StoredSet): string {
  return createHash("sha256")
    .update(JSON.stringify([FORMAT, sha256, edits]))
    .digest("hex")
    .slice(0, 32);
}

/** @throws Error in words when it is no whole set file. */
export function readSetFile(bytes: Uint8Array): StoredSet {
  const content = contentOf(bytes);
  if (!isObject(content)) throw new Error("it is no JSON object");
  const { format, sha256, edits, check } = content;
  if (format !== FORMAT) throw new Error(`its format is ${JSON.stringify(format) ?? "missing"}, not ${FORMAT}`);
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw new Error("its sha256 is none");
  const set = { sha256, edits: readEdits(edits) };
  if (check !== versionOf(set))
    throw new Error("its check does not fit what it says: it is torn, or was edited by hand");
  return set;
}

function contentOf(bytes: Uint8Array): unknown {
  try {
    return parseJsonText("the file", bytes).value;
  } catch (error) {
    throw error instanceof FormatError ? new Error(`it ${error.reason.replace(/\.$/, "")}`, { cause: error }) : error;
  }
}
