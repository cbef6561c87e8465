import { parentPort, workerData } from "node:worker_threads";
import { FormatError } from "./format-error.ts";
import { describeTorch, type TorchDescription, type TorchPickles } from "./torch-objects.ts";

/** The answer of the thread that reads one checkpoint's pickles. An error would lose its class on the way. */
export type TorchAnswer = TorchDescription | { readonly fault: string };

function answer(pickles: TorchPickles): TorchAnswer {
  try {
    return describeTorch(pickles);
  } catch (error) {
    if (error instanceof FormatError) return { fault: error.message.slice(pickles.file.length + 2) };
    throw error;
  }
}

parentPort!.postMessage(answer(workerData as TorchPickles));
