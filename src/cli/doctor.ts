import { spawnSync } from "node:child_process";
import { availableParallelism, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { shortageOf } from "../engine/core/errors.ts";
import { CUDA_PROVIDER_FILES, type CudaProvider, inspectCudaProvider } from "../engine/runtime/onnx/cuda-provider.ts";

/** `pursuit doctor`: what there is to run on, what is missing, and how to get it. Exits 1 when not even CPU works. */
export function registerDoctor(program: Command): void {
  program
    .command("doctor")
    .description("say which runtimes work here, what is missing, and how to get it")
    .action(async () => {
      const provider = await inspectCudaProvider();
      const cpu = tryRuntime("cpu");
      const cuda = provider.usable ? tryRuntime("cuda") : null;
      const memory = Math.round(totalmem() / 2 ** 30);
      console.log(
        `node               ${process.version} on ${process.platform}/${process.arch}, ${availableParallelism()} cores, ${memory} GiB`,
      );
      console.log(`onnxruntime-node   ${provider.bindingVersion}`);
      console.log(`cpu                ${cpu.works ? "works" : `does not work: ${cpu.detail}`}`);
      console.log(`cuda provider      ${describeProvider(provider)}`);
      console.log(
        `cuda               ${cuda === null ? "not tried" : cuda.works ? "works" : `does not work: ${cuda.detail}`}`,
      );
      if (cuda === null || !cuda.works) console.log(`\n${advice(provider)}`);
      process.exitCode = cpu.works ? 0 : 1;
    });
}

function describeProvider({ folder, missing, providerVersion, bindingVersion, usable }: CudaProvider): string {
  if (folder === null) return "none exists for this platform";
  if (missing.length > 0) return `not there: ${missing.join(", ")}`;
  if (usable) return `${providerVersion}, matches the binding`;
  return `${providerVersion ?? "of unknown version"}, DOES NOT MATCH the binding's ${bindingVersion}: undefined behaviour, so it is not used`;
}

function advice({ bindingVersion, folder, usable }: CudaProvider): string {
  if (folder === null) return "CUDA needs linux/x64; everything else runs on CPU.";
  if (usable) {
    return [
      "The provider is in place, so the rest comes from the system: an NVIDIA driver, and CUDA 13's cudart, cuBLAS,",
      "cuRAND and cuDNN 9 on the loader's path (LD_LIBRARY_PATH) before the server starts.",
    ].join("\n");
  }
  return [
    `To run on CUDA, put the provider of exactly version ${bindingVersion} beside the binding:`,
    `  pip download --no-deps --dest wheel onnxruntime-gpu==${bindingVersion}`,
    `  unzip -d wheel wheel/*.whl 'onnxruntime/capi/*.so'`,
    ...CUDA_PROVIDER_FILES.map((file) => `  ln -sf "$PWD/wheel/onnxruntime/capi/${file}" "${folder}/"`),
    "It is built for CUDA 13 and cuDNN 9, which must be on the loader's path. Without it everything runs on CPU.",
  ].join("\n");
}

/** Milliseconds that a runtime may take for one encode: a driver can hang. */
const TRY_LIMIT = 60_000;

/** One real encode on that runtime, in a process of its own. */
function tryRuntime(runtime: "cpu" | "cuda"): { works: boolean; detail: string } {
  const entry = new URL("../engine/runtime/onnx/try-runtime.js", import.meta.url);
  const run = spawnSync(process.execPath, [fileURLToPath(entry), runtime], {
    encoding: "utf8",
    timeout: TRY_LIMIT,
    killSignal: "SIGKILL",
  });
  if (run.error !== undefined) {
    const { code } = run.error as NodeJS.ErrnoException;
    const why = code === "ETIMEDOUT" ? `it gave no answer in ${TRY_LIMIT / 1000} s` : shortageOf(run.error);
    return { works: false, detail: why ?? run.error.message };
  }
  const line = run.stdout.trim().split("\n").at(-1);
  if (run.status === 0 && line) return JSON.parse(line) as { works: boolean; detail: string };
  return { works: false, detail: `the process ended with ${run.signal ?? `exit code ${run.status}`}` };
}
