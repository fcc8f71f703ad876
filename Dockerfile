# syntax=docker/dockerfile:1
# mien on the CPU.
#
#   docker build -t mien .
#   docker run --rm --user "$(id -u)" -v "$PWD:/work" mien --source portrait.jpg --save read.jpg
#   docker run --rm --device /dev/video0 mien --camera 0 --json -
#
# Verified: hadolint, the pip lines (resolved for Python 3.12), and the wheel from what .dockerignore lets through.
# Never built or run: there was no container engine where this was written.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY . .
# Takes the face detector out of a build requirement (hatch_build.py), which stays in this stage.
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/mien-*.whl)[cpu]"

# Cameras belong to the group video.
RUN useradd --uid 1000 --create-home --groups video mien && install --directory --owner=mien /work
USER 1000
ENV MIEN_CACHE=/home/mien/.cache/mien
WORKDIR /work

HEALTHCHECK --interval=5m --timeout=1m --start-period=1m CMD ["fer-doctor"]
ENTRYPOINT ["fer-run"]
CMD ["--help"]
