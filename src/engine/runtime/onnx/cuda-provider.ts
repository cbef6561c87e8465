import { createReadStream, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { dirname, join } from "node:path";

/** The two libraries that onnxruntime-node's core opens, by absolute path, from its own folder. */
export const CUDA_PROVIDER_FILES = ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"] as const;

/** CUDA libraries found on this machine. Checked by file, without loading them. */
export interface CudaProvider {
  /** Version of onnxruntime-node. The provider must have exactly the same. */
  readonly bindingVersion: string;
  /** Folder that must hold (or link to) the provider libraries; null if there is no binding for this platform. */
  readonly folder: string | null;
  readonly missing: readonly string[];
  /**
   * Version of the provider found; null if it is absent or unknown. Checked because the core loads another version
   * without complaint, which is undefined behaviour.
   */
  readonly providerVersion: string | null;
  /** The libraries exist in the binding's version. Only a session proves the GPU and its driver. */
  readonly usable: boolean;
}

const require = createRequire(import.meta.url);

export async function inspectCudaProvider(): Promise<CudaProvider> {
  const manifest = require.resolve("onnxruntime-node/package.json");
  const bindingVersion = (require(manifest) as { version: string }).version;
  const folder = join(dirname(manifest), "bin", "napi-v6", platform(), arch());
  if (!existsSync(folder))
    return { bindingVersion, folder: null, missing: CUDA_PROVIDER_FILES, providerVersion: null, usable: false };
  const missing = CUDA_PROVIDER_FILES.filter((file) => !existsSync(join(folder, file)));
  const providerVersion =
    missing.length > 0 ? null : await versionInside(join(folder, CUDA_PROVIDER_FILES[1]), bindingVersion);
  return { bindingVersion, folder, missing, providerVersion, usable: providerVersion === bindingVersion };
}

/**
 * Finds the version that a provider library was built as: ONNX Runtime's version as a C string ("\0" + "1.30.0" + "\0",
 * as in the onnxruntime-gpu wheel). Prefers the expected one, because other C strings may look like versions.
 */
export async function versionInside(file: string, expected: string): Promise<string | null> {
  const versions = new Set<string>();
  let tail = "";
  for await (const chunk of createReadStream(file, { highWaterMark: 8 << 20 }) as AsyncIterable<Buffer>) {
    const text = tail + chunk.toString("latin1");
    for (const [, version] of text.matchAll(/\0(1\.\d{1,3}\.\d{1,3})(?=\0)/g)) versions.add(version!);
    if (versions.has(expected)) return expected;
    tail = text.slice(-16);
  }
  return [...versions][0] ?? null;
}

/** Says why CUDA cannot be used here and what to do, in one sentence; null if the files are in order. */
export function cudaFault({ bindingVersion, folder, missing, providerVersion, usable }: CudaProvider): string | null {
  if (usable) return null;
  if (folder === null) return `onnxruntime-node ${bindingVersion} ships no binding for ${platform()}/${arch()}.`;
  if (missing.length > 0) {
    return `the CUDA provider of onnxruntime-node ${bindingVersion} is not installed; "pursuit doctor" says how to get it.`;
  }
  return `the CUDA provider in ${folder} is of version ${providerVersion ?? "unknown"}, the binding of ${bindingVersion}; only equal versions work together; "pursuit doctor" says more.`;
}
