# syntax=docker/dockerfile:1
# Serves a model as a user other than root. docs/how-to/production.md says how to build, run and replace it.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
# `cpu`, or `gpu` for a machine with a CUDA driver and its container toolkit
ARG EXTRA=cpu
# an index with smaller, CPU-only builds of torch, where wanted
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /build
RUN python -m venv /opt/vixml
ENV PATH=/opt/vixml/bin:$PATH
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src src
RUN --mount=type=cache,target=/root/.cache/pip pip install --compile ".[${EXTRA}]" -c constraints.txt

FROM python:${PYTHON}-slim-bookworm
RUN groupadd --gid 10001 vixml && useradd --uid 10001 --gid vixml --create-home --shell /usr/sbin/nologin vixml
COPY --from=build /opt/vixml /opt/vixml
# nothing is fetched while it serves: what a model names is in its folder, or mounted in the cache of Hugging Face
ENV PATH=/opt/vixml/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 DO_NOT_TRACK=1 MALLOC_ARENA_MAX=2
WORKDIR /home/vixml
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["vixml", "serve", "--host", "0.0.0.0", "--port", "8000", "--logs", "json"]
CMD ["--model", "/models/current"]
