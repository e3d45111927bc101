{{/* The labels that select the pods of a role. Call with (list $ role). */}}
{{- define "bridge.selector" -}}
app.kubernetes.io/part-of: rasa-bridge
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "bridge.labels" -}}
{{ include "bridge.selector" . }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{- define "bridge.name" -}}
{{- $suffix := printf "-%s" (index . 1) -}}
{{ (index . 0).Release.Name | trunc (sub 63 (len $suffix) | int) | trimSuffix "-" }}{{ $suffix }}
{{- end }}

{{/* What all containers have. Call with (list $ role image). */}}
{{- define "bridge.container" -}}
{{- $root := index . 0 }}{{ $role := index . 1 }}{{ $image := index $root.Values.images (index . 2) -}}
name: bridge
{{- /* As JSON, because a number would be printed as 2.0240101e+07. */}}
image: {{ printf "%s:%s" $image.repository (toJson ($image.tag | default $root.Chart.AppVersion) | trimAll "\"") | quote }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  - name: AMQP_URL
    value: {{ $root.Values.broker.address | quote }}
envFrom:
  {{- with (index $root.Values.roles $role | default dict).secret }}
  - secretRef: {name: {{ . }}}
  {{- end }}
  - prefix: AMQP_
    secretRef: {name: {{ index $root.Values.broker.users $role }}}
volumeMounts:
  - {name: settings, mountPath: /etc/rasa-bridge, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* What all pods have besides their container. Call with $. */}}
{{- define "bridge.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        app.kubernetes.io/part-of: rasa-bridge
    matchLabelKeys: [app.kubernetes.io/component, pod-template-hash]
volumes:
  - name: settings
    configMap:
      name: {{ include "bridge.name" (list . "settings") }}
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
{{- end }}
