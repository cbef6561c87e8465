import { parentPort, workerData } from "node:worker_threads";
import { FormatError } from "./format-error.ts";
import { readLegacyPickles, readTorchPickle, type TorchContents } from "./torch-objects.ts";

/** The thread that reads one checkpoint's pickle. */

export interface TorchTask {
  readonly form: "zip" | "legacy";
  /** The checkpoint's path, for messages. */
  readonly file: string;
  /** data.pkl, or the start of a legacy file. */
  readonly bytes: Uint8Array;
}

/** `keys` and `end` are of the legacy form: the storages in order, and where the first begins. */
export type TorchAnswer =
  | { readonly contents: TorchContents; readonly keys: readonly string[]; readonly end: number }
  | { readonly fault: string };

const { form, file, bytes } = workerData as TorchTask;

function answer(): TorchAnswer {
  try {
    if (form === "legacy") return readLegacyPickles(file, bytes);
    return { contents: readTorchPickle(file, bytes), keys: [], end: bytes.length };
  } catch (error) {
    // An error loses its class on the way.
    if (error instanceof FormatError) return { fault: error.message.slice(file.length + 2) };
    throw error;
  }
}

parentPort!.postMessage(answer());
