import { type CudaProvider, cudaFault } from "../../src/engine/runtime/onnx/cuda-provider.ts";

/**
 * Why nothing can be measured on a GPU here, and what to do about it; null when there is one and the provider is in place.
 * @param card as nvidia-smi names it; null where it does not run or finds none
 */
export function gpuFault(card: string | null, provider: CudaProvider): string | null {
  if (card === null) {
    return "There is no NVIDIA GPU here: nvidia-smi does not run or lists none. Run this on a machine that has one.";
  }
  const fault = cudaFault(provider);
  return fault === null ? null : `There is a GPU (${card}), but ${fault}`;
}
