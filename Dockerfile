# syntax=docker/dockerfile:1
#
#   docker build --target cpu  -t pursuit:cpu  .
#   docker build --target cuda -t pursuit:cuda .     needs an NVIDIA driver for CUDA 13 on the host
#   docker run --read-only -v pursuit-cache:/var/cache/pursuit -v pursuit-state:/var/lib/pursuit \
#     -p 8080:8080 -v "$PWD/models:/models:ro" pursuit:cpu

ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY src src
RUN npm run build && npm prune --omit=dev
# The binding brings 290 MB for five platforms; this one needs 25 to 45.
WORKDIR /app/node_modules/onnxruntime-node/bin/napi-v6
RUN find . -mindepth 2 -maxdepth 2 ! -path "./linux/$(node -p process.arch)" -exec rm -rf {} +

# The CUDA provider of exactly the binding's version; another one is undefined behaviour.
FROM python:3.12-slim-bookworm AS provider
COPY --from=build /app/node_modules/onnxruntime-node/package.json /binding.json
RUN version=$(python -c "import json; print(json.load(open('/binding.json'))['version'])") \
 && pip download --no-cache-dir --no-deps --dest /wheel "onnxruntime-gpu==$version" \
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
COPY models /models
USER 1000
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PURSUIT_PORT ?? 8080}/health/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/pursuit.js"]
CMD ["serve"]

FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 AS cuda
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
