#!/usr/bin/env python3
"""Write components/prometheus/alerts.yaml: deploy/prometheus/alerts.yml as a PrometheusRule."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

HERE = Path(__file__).resolve().parent
ALERTS = HERE.parent / "prometheus" / "alerts.yml"
RULE = HERE / "components" / "prometheus" / "alerts.yaml"
HEAD = """\
# Do not edit: deploy/kubernetes/alerts.py generates this file from deploy/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: rasa-bridge
spec:
"""

if __name__ == "__main__":
    RULE.write_text(HEAD + indent(ALERTS.read_text(), "  "))
