# One image; its command is `serve` (the default), `worker`, `nightly DATA` or any other of pymk.
#
#   docker build -t pymk .                              a CPU build of torch
#   docker build -t pymk --build-arg TORCH_INDEX= .     the default index's build of torch: CUDA on x86-64

FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# without pip: nothing is installed into the environment later
RUN python -m venv --without-pip /opt/pymk
COPY constraints.txt ./
# torch is most of the image and changes least, so it has a layer of its own; what it needs comes with the next
# hadolint ignore=DL3042 # the cache is a mount: the builder keeps it, the image does not
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/pymk/bin/python install --no-deps -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY offline offline
COPY service service
# hadolint ignore=DL3042 # the cache is a mount: the builder keeps it, the image does not
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/pymk/bin/python install -c constraints.txt .

FROM python:3.11-slim-bookworm
# tini is process 1: it passes signals on and buries what the night's processes leave
# hadolint ignore=DL3008 # Debian keeps one version of a package in a release, so a pinned one breaks the build later
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /var/lib/pymk --create-home --shell /usr/sbin/nologin pymk
COPY --from=build /opt/pymk /opt/pymk
ENV PATH=/opt/pymk/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYMK_HOME=/var/lib/pymk \
    NUMBA_CACHE_DIR=/opt/pymk/kernels
# no container waits for a compiler: every user reads what is compiled here, on a processor of the same kind
RUN pymk warm && chmod -R a+rX /opt/pymk/kernels
USER 10001:10001
WORKDIR /var/lib/pymk
VOLUME /var/lib/pymk
EXPOSE 8000
# whether the service answers; a container with another command has nothing to ask
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from pathlib import Path; from urllib.request import urlopen; b'serve' in Path('/proc/1/cmdline').read_bytes().split(b'\\0') and urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
ENTRYPOINT ["tini", "--", "pymk"]
CMD ["serve", "--host", "0.0.0.0"]
