import { InferenceSession, Tensor } from "onnxruntime-node";
import { SentenceEmbedder } from "./sentence-embedder.ts";
import { readSentenceModel, readTokenizer } from "./sentence-model.ts";

/** An embedder of a command's own process. Release it to free its memory. */
export interface OnnxEmbedder {
  embed(text: string): Promise<Float32Array>;
  tokensOf(text: string): number[];
  release(): Promise<void>;
}

/** Loads the sentence-embedding model of a folder. @throws FormatError, or Error of ONNX Runtime */
export async function openEmbedder(folder: string): Promise<OnnxEmbedder> {
  const { settings, onnx } = await readSentenceModel(folder);
  const files = await readTokenizer(folder);
  // In the real environment, before the first session.
  process.env["ORT_DISABLE_TELEMETRY"] = "1";
  const session = await InferenceSession.create(onnx);
  const embedder = new SentenceEmbedder(settings, files, session, (data, dims) => new Tensor("int64", data, dims));
  return {
    embed: (text) => embedder.embed(text),
    tokensOf: (text) => embedder.tokensOf(text),
    release: () => session.release(),
  };
}
