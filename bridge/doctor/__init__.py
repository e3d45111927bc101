"""The checks of `rasa-bridge doctor`. The command prints the findings.

The checks change nothing, import neither rasa nor the worker, and keep passwords out of findings.
"""

from __future__ import annotations

from bridge.doctor.assistant import check_action_server, check_model
from bridge.doctor.broker import check_broker
from bridge.doctor.environment import check_versions
from bridge.doctor.findings import Finding, error, warning
from bridge.doctor.licence import check_licence
from bridge.doctor.servers import CHECKS
from bridge.doctor.settings import check_channels, check_endpoints
from bridge.doctor.tracker_store import check_tracker_store
from bridge.errors import SettingsError
from bridge.settings.files import load_endpoint
from bridge.settings.yaml_values import quoted_variable

__all__ = ["Finding", "run_checks"]


async def run_checks(
    credentials: str | None, endpoints: str | None, model: str | None
) -> list[Finding]:
    """Run every check whose settings can be read. The arguments are the command's options."""
    broker, findings = check_endpoints(endpoints)
    channels, about_channels = check_channels(credentials)
    findings += about_channels
    if broker is not None:
        findings += await check_broker(broker, channels)
    findings += await check_licence()
    sections = {}
    for name in ("tracker_store", "action_endpoint", *CHECKS):
        try:
            sections[name] = load_endpoint(endpoints, name)
        except SettingsError as problem:
            # An unreadable file is one finding, not one per section.
            if all(f.text != problem.problem for f in findings):
                findings.append(error(name.replace("_", " "), problem.problem, problem.fix))
    findings += [
        warning(
            name.replace("_", " "), f"{variable} is not replaced, as in Rasa", "remove its quotes"
        )
        for name, section in sections.items()
        if (variable := quoted_variable(section))
    ]
    if "tracker_store" in sections:
        findings.append(await check_tracker_store(sections["tracker_store"]))
    if sections.get("action_endpoint"):
        findings.append(await check_action_server(sections["action_endpoint"]))
    if not sections.get("models"):
        findings.append(check_model(model))
    for name, check in CHECKS.items():
        if sections.get(name):
            findings.append(await check(sections[name]))
    return [*findings, *check_versions()]
