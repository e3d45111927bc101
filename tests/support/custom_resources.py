"""JSON schemas of the custom resources in deploy/kubernetes, limited to the fields in use.

No package contains RabbitMQ's schemas, and the packages with the others take seconds to import.
These were compared with the operators' schemas of August 2026: every field exists there with this
type, and no required field is missing.

- https://github.com/rabbitmq/cluster-operator/tree/main/config/crd/bases
- https://github.com/rabbitmq/messaging-topology-operator/tree/main/config/crd/bases
- https://github.com/kedacore/keda/tree/main/config/crd/bases
- https://github.com/prometheus-operator/prometheus-operator/tree/main/example/prometheus-operator-crd
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
WHOLE: Schema = {"type": "integer", "minimum": 0}
ANYTHING: Schema = {"type": "object"}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$"}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+[smhd])+$"}


def fields(required: dict[str, Schema], **optional: Schema) -> Schema:
    """An object with these fields and no others."""
    properties = {**required, **optional}
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def texts(*required: str, values: Schema = TEXT) -> Schema:
    """A mapping with arbitrary keys, of which some are required."""
    return {"type": "object", "required": list(required), "additionalProperties": values}


NAMED = fields({"name": TEXT})
APART = fields({"topologyKey": TEXT}, labelSelector=fields({}, matchLabels=texts()))
CLUSTER = {"rabbitmqClusterReference": NAMED}
SCALING = fields(
    {},
    stabilizationWindowSeconds=WHOLE,
    policies=list_of(
        fields({"type": one_of("Pods", "Percent"), "value": WHOLE, "periodSeconds": WHOLE})
    ),
)
TRIGGER = fields(
    {
        "type": TEXT,
        # Values are strings, even those that look like numbers.
        "metadata": texts("host", "mode", "value", "queueName", "protocol"),
    },
    authenticationRef=NAMED,
)
ALERT = fields(
    {"alert": TEXT, "expr": TEXT},
    labels=texts(),
    annotations=texts(),
    **{"for": DURATION},
)

SPECS: dict[str, Schema] = {
    "rabbitmq.com/v1beta1/RabbitmqCluster": fields(
        {"replicas": WHOLE},
        image=TEXT,
        resources=fields({}, requests=texts(values=QUANTITY), limits=texts(values=QUANTITY)),
        persistence=fields({}, storage=QUANTITY),
        rabbitmq=fields({}, additionalConfig=TEXT),
        affinity=fields(
            {},
            podAntiAffinity=fields(
                {}, requiredDuringSchedulingIgnoredDuringExecution=list_of(APART)
            ),
        ),
    ),
    "rabbitmq.com/v1beta1/User": fields(
        CLUSTER,
        importCredentialsSecret=NAMED,
        tags=list_of(one_of("management", "policymaker", "monitoring", "administrator")),
    ),
    "rabbitmq.com/v1beta1/Permission": fields(
        {
            **CLUSTER,
            "vhost": TEXT,
            "permissions": fields({"configure": TEXT, "write": TEXT, "read": TEXT}),
        },
        userReference=NAMED,
    ),
    "rabbitmq.com/v1beta1/OperatorPolicy": fields(
        {**CLUSTER, "name": TEXT, "pattern": TEXT, "definition": ANYTHING},
        applyTo=one_of("queues", "classic_queues", "quorum_queues", "streams"),
        priority=WHOLE,
    ),
    "keda.sh/v1alpha1/ScaledObject": fields(
        {"scaleTargetRef": NAMED, "triggers": list_of(TRIGGER)},
        pollingInterval=WHOLE,
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        advanced=fields(
            {},
            horizontalPodAutoscalerConfig=fields(
                {}, behavior=fields({}, scaleUp=SCALING, scaleDown=SCALING)
            ),
        ),
    ),
    "keda.sh/v1alpha1/TriggerAuthentication": fields(
        {},
        secretTargetRef=list_of(fields({"parameter": TEXT, "name": TEXT, "key": TEXT})),
    ),
    "monitoring.coreos.com/v1/PodMonitor": fields(
        {
            "selector": fields({}, matchLabels=texts()),
            "podMetricsEndpoints": list_of(
                fields(
                    {},
                    port=TEXT,
                    path=TEXT,
                    interval=DURATION,
                    relabelings=list_of(
                        fields(
                            {},
                            action=one_of("replace", "keep", "drop"),
                            sourceLabels=list_of(TEXT),
                            targetLabel=TEXT,
                        )
                    ),
                )
            ),
        },
        jobLabel=TEXT,
    ),
    "monitoring.coreos.com/v1/PrometheusRule": fields(
        {}, groups=list_of(fields({"name": TEXT, "rules": list_of(ALERT)}))
    ),
}
"""Schemas of `spec`, by apiVersion/kind."""
