# The worker with the assistant in its process, rasa's own commands and the action server. From the top:
#     docker build -f deploy/images/worker.Dockerfile -t rasa-channel-bridge/worker .
FROM python:3.10-slim AS build
RUN python -m venv --without-pip /opt/bridge
WORKDIR /src
# The libraries first: this layer is made again only when they change. Those for development stay out.
COPY deploy/requirements/rasa.in deploy/requirements/rasa.txt ./
RUN sed '/^# development/,$d' rasa.in > runtime.in \
    && pip --python /opt/bridge install --no-cache-dir -r runtime.in -c rasa.txt
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY worker worker
RUN pip --python /opt/bridge install --no-cache-dir --no-deps .

FROM python:3.10-slim
# /models belongs to the user, and so does every volume that is first mounted there.
RUN useradd --system --uid 10001 --home-dir /tmp --shell /usr/sbin/nologin bridge \
    && install --directory --owner 10001 /models
COPY --from=build /opt/bridge /opt/bridge
COPY deploy/images/healthcheck.py /opt/bridge/
ENV PATH=/opt/bridge/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    RASA_TELEMETRY_ENABLED=false SQLALCHEMY_SILENCE_UBER_WARNING=1 TF_CPP_MIN_LOG_LEVEL=2
USER 10001
WORKDIR /srv
ENTRYPOINT ["rasa-bridge"]
