# The server with the model that comes along. Everything it needs at run time is in the image; it asks nobody for anything.
#
#   docker build -t emothinker .                                   CPU
#   docker build -t emothinker:cuda --build-arg TORCH=cuda .       CUDA (run with --gpus all; compose.cuda.yaml adds TensorRT)
#   docker build -t emothinker:ray --build-arg EXTRAS=ray .        for a cluster (docs/cluster.md)
FROM node:22-bookworm-slim AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

FROM python:3.11-slim-bookworm
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
# With CUDA a C compiler comes along, as torch compiles kernels for 8-bit weights. Not a stage for each build: builders without BuildKit leave out a stage that is named by a variable.
ARG TORCH=cpu
RUN case "$TORCH" in \
        cpu) set -- --index-url https://download.pytorch.org/whl/cpu ;; \
        cuda) set -- && apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* ;; \
        *) echo "TORCH is $TORCH. It can be cpu or cuda." >&2; exit 2 ;; \
    esac && pip install --no-cache-dir -c constraints.txt "$@" torch
COPY realtime realtime
COPY export export
COPY train train
COPY emothinker emothinker
COPY build_hook.py emothinker_start.py emothinker_shadowed.py emothinker_shadowed.pth ./
COPY --from=page /src/realtime/web_dist realtime/web_dist
ARG EXTRAS=
RUN pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" && useradd --system --uid 10001 --create-home emothinker
USER 10001
WORKDIR /home/emothinker
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import os, ssl, urllib.request as u; u.urlopen(os.environ.get('READY_URL', 'http://127.0.0.1:8080/readyz'), context=ssl._create_unverified_context())"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["realtime"]
CMD ["serve"]
