#   docker build --target cpu  -t pursuit:cpu  .
#   docker build --target cuda -t pursuit:cuda .     needs an NVIDIA driver for CUDA 13 on the host
#   docker run --read-only -v pursuit-cache:/var/cache/pursuit -v pursuit-state:/var/lib/pursuit \
#     -p 8080:8080 -v "$PWD/models:/models:ro" pursuit:cpu

# Base images by digest: a tag may name another image tomorrow. Take a new digest from `docker buildx imagetools inspect`
# with the tag, and run the tests with the new Node version (.ci/run reads it here).
ARG NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:2fe369e969550cde8e867afc3fe370b260140cab4a23d467074295b42163d553
ARG PYTHON_IMAGE=python:3.12.14-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04@sha256:14d94b039cb94bbd5da559f303b46bc4b0d5d6c24ab1a9d7b186e566ed3400dc

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY src src
COPY web web
RUN npm run build && npm prune --omit=dev
# The binding brings 290 MB for five platforms; this one needs 25 to 45.
WORKDIR /app/node_modules/onnxruntime-node/bin/napi-v6
RUN find . -mindepth 2 -maxdepth 2 ! -path "./linux/$(node -p process.arch)" -exec rm -rf {} +

# The CUDA provider of exactly the binding's version; another one is undefined behaviour.
FROM ${PYTHON_IMAGE} AS provider
COPY --from=build /app/node_modules/onnxruntime-node/package.json /binding.json
COPY deploy/onnxruntime-gpu.txt /
RUN version=$(python -c "import json; print(json.load(open('/binding.json'))['version'])") \
 && grep "^onnxruntime-gpu==$version " /onnxruntime-gpu.txt \
 && pip download --no-cache-dir --no-deps --only-binary :all: --require-hashes --dest /wheel -r /onnxruntime-gpu.txt \
 && python -m zipfile -e /wheel/*.whl /unpacked \
 && mkdir /provider \
 && mv /unpacked/onnxruntime/capi/libonnxruntime_providers_shared.so /unpacked/onnxruntime/capi/libonnxruntime_providers_cuda.so /provider/

FROM ${NODE_IMAGE} AS cpu
ENV NODE_ENV=production PURSUIT_HOST=0.0.0.0 PURSUIT_MODELS_DIR=/models PURSUIT_CACHE_DIR=/var/cache/pursuit PURSUIT_STATE_DIR=/var/lib/pursuit
WORKDIR /app
RUN install -d -o 1000 -g 1000 /var/cache/pursuit /var/lib/pursuit
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY bin bin
COPY registry registry
COPY models /models
USER 1000
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PURSUIT_PORT ?? 8080}/health/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/pursuit.js"]
CMD ["serve"]

FROM ${CUDA_IMAGE} AS cuda
ENV NODE_ENV=production PURSUIT_HOST=0.0.0.0 PURSUIT_MODELS_DIR=/models PURSUIT_CACHE_DIR=/var/cache/pursuit PURSUIT_STATE_DIR=/var/lib/pursuit
WORKDIR /app
COPY --from=build /usr/local/bin/node /usr/local/bin/node
RUN install -d -o 1000 -g 1000 /var/cache/pursuit /var/lib/pursuit
COPY --from=cpu /app .
COPY --from=provider /provider/ node_modules/onnxruntime-node/bin/napi-v6/linux/x64/
COPY models /models
USER 1000
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PURSUIT_PORT ?? 8080}/health/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/pursuit.js"]
CMD ["serve"]
