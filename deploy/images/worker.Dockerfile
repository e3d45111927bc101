# Image for the worker with the assistant in its process, rasa's own commands and the action server. Build it
# from the repository's root:
#     docker build -f deploy/images/worker.Dockerfile -t rasa-channel-bridge/worker .
FROM python:3.10.19-slim-trixie AS libraries
RUN python -m venv --without-pip /opt/bridge
WORKDIR /src
COPY deploy/requirements/rasa-image.txt ./
RUN pip --python /opt/bridge install --no-cache-dir --require-hashes -r rasa-image.txt
# TensorFlow requires these, and a worker needs none of them: 0.55 of 2.5 GB.
RUN pip --python /opt/bridge uninstall --yes jax jaxlib libclang tensorboard-data-server \
    && rm -rf /opt/bridge/lib/python3.10/site-packages/tensorflow/include

FROM python:3.10.19-slim-trixie AS project
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY deploy/package_metadata.py deploy/
COPY bridge bridge
COPY worker worker
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .
COPY deploy/images/sbom.py deploy/images/
COPY deploy/requirements/rasa-image.txt ./
RUN python deploy/images/sbom.py rasa-image.txt 3.10 jax jaxlib libclang tensorboard-data-server > /sbom.cdx.json

FROM python:3.10.19-slim-trixie
# The user owns /models. Docker gives a new volume that is mounted there the same owner.
RUN useradd --system --uid 10001 --home-dir /tmp --shell /usr/sbin/nologin bridge \
    && install --directory --owner 10001 /models
# Libraries have a separate layer, so a code change replaces only a small layer on top.
COPY --from=libraries /opt/bridge /opt/bridge
COPY deploy/images/healthcheck.py /opt/bridge/
COPY --from=project /sbom.cdx.json /opt/bridge/
RUN --mount=type=bind,from=project,source=/dist,target=/dist \
    pip --python /opt/bridge install --no-cache-dir --no-index --no-deps /dist/*.whl
ENV PATH=/opt/bridge/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    RASA_TELEMETRY_ENABLED=false SQLALCHEMY_SILENCE_UBER_WARNING=1 TF_CPP_MIN_LOG_LEVEL=2
# `make images` passes them; see also /opt/bridge/sbom.cdx.json.
ARG VERSION=unknown REVISION=unknown SOURCE=unknown
LABEL org.opencontainers.image.title="rasa-channel-bridge/worker" \
    org.opencontainers.image.description="rasa-channel-bridge with rasa: worker, rasa's own commands" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE"
USER 10001
WORKDIR /srv
ENTRYPOINT ["rasa-bridge"]
