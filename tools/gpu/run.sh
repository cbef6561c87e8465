#!/usr/bin/env bash
# Fidelity fixtures and the bench on an NVIDIA GPU: tools/gpu/run.sh path/to/venv/bin/python
# The Python must have tools/baselines/requirements.txt. See README.md beside this file.
set -euo pipefail
python=${1:?"usage: tools/gpu/run.sh path/to/python, one that has tools/baselines/requirements.txt"}
cd "$(dirname "$0")/../.."

if ! nvidia-smi --list-gpus 2>/dev/null | grep -q GPU; then
  echo "There is no NVIDIA GPU here: nvidia-smi does not run or lists none. Run this on a machine that has one." >&2
  exit 1
fi
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "PyTorch of $python sees no GPU. Install tools/baselines/requirements.txt for this driver's CUDA." >&2
  exit 1
fi

# The provider of exactly the binding's version, beside the binding; CUDA and cuDNN as PyTorch brought them.
version=$(node -p "require('onnxruntime-node/package.json').version")
binding=node_modules/onnxruntime-node/bin/napi-v6/linux/x64
if [ ! -e "$binding/libonnxruntime_providers_cuda.so" ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  "$python" -m pip download --quiet --no-deps --dest "$scratch" "onnxruntime-gpu==$version"
  "$python" -m zipfile -e "$scratch"/*.whl "$scratch/unpacked"
  cp "$scratch"/unpacked/onnxruntime/capi/libonnxruntime_providers_{shared,cuda}.so "$binding/"
fi
libraries=$("$python" -c 'import glob, sysconfig; print(":".join(sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/**/lib", recursive=True))))')
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

npm run --silent build
FIDELITY_RUNTIME=cuda npx vitest run test/contract/fidelity.test.ts
npx tsx tools/gpu/main.ts --python "$python"
