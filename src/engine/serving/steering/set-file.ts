import { createHash } from "node:crypto";
import { type Edit, readEdits } from "../../core/edits.ts";
import { isObject } from "../../core/json-object.ts";
import { FormatError } from "../../dictionaries/formats/format-error.ts";
import { parseJsonText } from "../../dictionaries/formats/json-file.ts";

/** A named set as it is stored. */
export interface StoredSet {
  /** Version of the dictionary that it was made for. */
  readonly sha256: string;
  /** Its edits, as JSON. */
  readonly edits: string;
  /** Changes with everything that the set says. */
  readonly version: string;
}

/** Bytes of one set at most: 256 edits by vectors of 1,024 numbers fit. A larger one holds the event loop for long. */
export const MAX_SET_BYTES = 8 * 2 ** 20;

const FORMAT = 1;

/** A set of these edits, given as JSON. */
export function storedSet(sha256: string, edits: string): StoredSet {
  const version = createHash("sha256").update(`[${FORMAT},"${sha256}",${edits}]`).digest("hex").slice(0, 32);
  return { sha256, edits, version };
}

/** The file's text: JSON with a digest of what it says, so that a torn or edited file is told from a whole one. */
export const setFileText = ({ sha256, edits, version }: StoredSet): string =>
  `{"format":${FORMAT},"sha256":"${sha256}","edits":${edits},"check":"${version}"}\n`;

/** As {@link setFileText} writes it. */
const WRITTEN = /^\{"format":1,"sha256":"([0-9a-f]{64})","edits":(\[.*\]),"check":"([0-9a-f]{32})"\}\n$/s;

/**
 * Reads a set's file. What was written here is known by its digest, and not parsed.
 * @throws Error in words when it is no whole set file
 */
export function readSetFile(bytes: Uint8Array): StoredSet {
  const [, sha256, edits, check] = WRITTEN.exec(Buffer.from(bytes).toString()) ?? [];
  if (sha256 !== undefined && edits !== undefined) {
    const set = storedSet(sha256, edits);
    if (set.version === check) return set;
  }
  return parseSetFile(bytes);
}

/** @throws EngineError PURSUIT_INVALID_EDIT */
export const editsOf = ({ edits }: StoredSet): readonly Edit[] => readEdits(JSON.parse(edits));

function parseSetFile(bytes: Uint8Array): StoredSet {
  const content = contentOf(bytes);
  if (!isObject(content)) throw new Error("it is no JSON object");
  const { format, sha256, edits, check } = content;
  if (format !== FORMAT) throw new Error(`its format is ${JSON.stringify(format) ?? "missing"}, not ${FORMAT}`);
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw new Error("its sha256 is none");
  const set = storedSet(sha256, JSON.stringify(readEdits(edits)));
  if (check !== set.version) throw new Error("its checksum does not match: it is damaged, or was edited by hand");
  return set;
}

function contentOf(bytes: Uint8Array): unknown {
  try {
    return parseJsonText("the file", bytes).value;
  } catch (error) {
    throw error instanceof FormatError ? new Error(`it ${error.reason.replace(/\.$/, "")}`, { cause: error }) : error;
  }
}
