# Image for webhook, deliver, monitor and every other command that does not need rasa. Build it from the
# repository's root:
#     docker build -f deploy/images/edges.Dockerfile -t rasa-channel-bridge/edges .
FROM python:3.13.9-slim-trixie AS libraries
RUN python -m venv --without-pip /opt/bridge
WORKDIR /src
COPY deploy/requirements/edges-image.txt ./
RUN pip --python /opt/bridge install --no-cache-dir --require-hashes -r edges-image.txt

FROM python:3.13.9-slim-trixie AS project
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY deploy/package_metadata.py deploy/
COPY bridge bridge
COPY worker worker
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .
COPY deploy/images/sbom.py deploy/images/
COPY deploy/requirements/edges-image.txt ./
RUN python deploy/images/sbom.py edges-image.txt 3.13 > /sbom.cdx.json

FROM python:3.13.9-slim-trixie
RUN useradd --system --uid 10001 --home-dir /tmp --shell /usr/sbin/nologin bridge
# Libraries have a separate layer, so a code change replaces only a small layer on top.
COPY --from=libraries /opt/bridge /opt/bridge
COPY deploy/images/healthcheck.py /opt/bridge/
COPY --from=project /sbom.cdx.json /opt/bridge/
RUN --mount=type=bind,from=project,source=/dist,target=/dist \
    pip --python /opt/bridge install --no-cache-dir --no-index --no-deps /dist/*.whl
ENV PATH=/opt/bridge/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# `make images` passes them; see also /opt/bridge/sbom.cdx.json.
ARG VERSION=unknown REVISION=unknown SOURCE=unknown
LABEL org.opencontainers.image.title="rasa-channel-bridge/edges" \
    org.opencontainers.image.description="webhook, deliver, monitor and the command line of rasa-channel-bridge" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE"
USER 10001
WORKDIR /srv
ENTRYPOINT ["rasa-bridge"]
