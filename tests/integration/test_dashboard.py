"""The queries of the Grafana dashboard, run by a real Prometheus on the metrics of the bridge."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from prometheus_client.metrics import MetricWrapperBase

from bridge.telemetry import metrics
from tests.support.broker import TOP, free_port
from tests.support.waiting import eventually

DASHBOARD = json.loads((TOP / "deploy/grafana/dashboards/bridge.json").read_text())
TARGETS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
VARIABLES = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
VALUES = {"flow": "inbound", "channel": "slack", "outcome": "handled", "status": "401"}
SCRAPE = """
scrape_configs:
  - job_name: rasa-bridge
    scrape_interval: 500ms
    scrape_timeout: 500ms
    static_configs:
      - targets: ["127.0.0.1:{port}"]
        labels: {{role: worker, namespace: shop}}
"""


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


def fill() -> None:
    """Give every metric of the bridge a series that grows."""
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            names = metric._labelnames
            series: Any = metric.labels(*(VALUES.get(n, "x") for n in names)) if names else metric
            getattr(series, "observe" if metric._type == "histogram" else "inc")(0.1)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prometheus on this process's metrics; return its URL."""
    script = TOP / "deploy" / "local" / "promtool.py"
    found = subprocess.run(
        [sys.executable, str(script), "prometheus"], capture_output=True, text=True
    )
    if found.returncode == 3:
        pytest.skip(found.stderr.strip())
    directory: Path = tmp_path_factory.mktemp("prometheus")
    exporter = make_server("127.0.0.1", 0, metrics.wsgi_app(), handler_class=Quiet)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    config = directory / "prometheus.yml"
    config.write_text(SCRAPE.format(port=exporter.server_port))
    port = free_port()
    command = [found.stdout.strip(), f"--config.file={config}"]
    command += [f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        exporter.shutdown()
        exporter.server_close()


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """Return the series of an instant query; the URL must be up."""
    with urlopen(f"{url}/api/v1/query?{urlencode({'query': expression})}", timeout=30) as response:
        answer = json.load(response)
    assert answer["status"] == "success"
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def filled(expression: str, **values: str) -> str:
    """Put values in place of the variables, as Grafana does."""
    values = {**dict.fromkeys(VARIABLES, ".*"), "__rate_interval": "30s", **values}
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], expression)


async def test_every_query_finds_what_is_selected_and_nothing_else(prometheus: str) -> None:
    def scraped() -> bool:
        fill()
        try:
            return bool(query(prometheus, "rate(rasa_bridge_turn_seconds_count[30s]) > 0"))
        except OSError:
            return False

    await eventually(scraped, "Prometheus has two samples")

    def finds(expression: str, **chosen: str) -> bool:
        fill()
        return bool(query(prometheus, filled(expression, **chosen)))

    chosen = {"namespace": "shop", "channel": "(slack|telegram)", "instance": "127.*"}
    for name, expression in TARGETS.items():
        # A scrape that comes too late on a busy machine hides every gauge until the next one.
        # Nothing is without a consumer here, but that query says so with a zero.
        await eventually(lambda e=expression: finds(e), name)
        await eventually(lambda e=expression: finds(e, **chosen), name)
        if "or vector(0)" not in expression:
            assert not finds(expression, namespace="other"), name


@pytest.mark.parametrize(("variable", "name"), [*product(["$channel", "$instance"], TARGETS)])
def test_each_query_is_narrowed_by_what_its_series_have(variable: str, name: str) -> None:
    expression = TARGETS[name]
    series = re.findall(r"(?:rasa_bridge|process)_\w+\{([^}]*)\}", expression)
    assert series
    for labels in series:
        assert "$namespace" in labels
    is_monitors = re.search(
        r"_(queue|oldest_message|partitions_held|dead_letters_waiting)", expression
    )
    has_channel = "channel" in expression or "slots" in expression
    if (variable == "$instance" and not is_monitors) or (variable == "$channel" and has_channel):
        assert all(variable in labels for labels in series)
