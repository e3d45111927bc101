# Webhook, deliver, monitor and every other command that needs no rasa. Build it from the top:
#     docker build -f deploy/images/edges.Dockerfile -t rasa-channel-bridge/edges .
FROM python:3.13-slim AS build
RUN python -m venv --without-pip /opt/bridge
WORKDIR /src
# The libraries first: this layer is made again only when they change. Those for development stay out.
COPY deploy/requirements/edges.in deploy/requirements/edges.txt ./
RUN sed '/^# development/,$d' edges.in > runtime.in \
    && pip --python /opt/bridge install --no-cache-dir -r runtime.in -c edges.txt
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY worker worker
RUN pip --python /opt/bridge install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /tmp --shell /usr/sbin/nologin bridge
COPY --from=build /opt/bridge /opt/bridge
COPY deploy/images/healthcheck.py /opt/bridge/
ENV PATH=/opt/bridge/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /srv
ENTRYPOINT ["rasa-bridge"]
