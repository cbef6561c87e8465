{{- define "pursuit.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "pursuit.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pursuit.labels" -}}
{{ include "pursuit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "pursuit.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* Names of the service, and those of the values. */}}
{{- define "pursuit.allowedHosts" -}}
{{- if has "*" .Values.allowedHosts -}}
*
{{- else -}}
{{- $name := include "pursuit.name" . -}}
{{- $service := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) -}}
{{- concat $service .Values.allowedHosts | join "," -}}
{{- end -}}
{{- end }}

{{- define "pursuit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "pursuit.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: ["ALL"]}
{{- end }}

{{/* Folder of the models in the container. */}}
{{- define "pursuit.modelsDir" -}}
{{- if eq .Values.models.source "image" }}/models{{ else }}/var/lib/pursuit-models{{ end -}}
{{- end }}

{{- define "pursuit.modelsMount" -}}
{{- if ne .Values.models.source "image" }}
- {name: models, mountPath: /var/lib/pursuit-models, readOnly: true}
{{- end }}
{{- end }}

{{- define "pursuit.modelsVolume" -}}
{{- if eq .Values.models.source "volume" }}
- name: models
  {{- .Values.models.volume | toYaml | nindent 2 }}
{{- else if eq .Values.models.source "pull" }}
- name: models
  emptyDir: {sizeLimit: {{ .Values.models.size }}}
{{- end }}
{{- end }}

{{/* One init container for each dictionary; one that is there already is not fetched again. */}}
{{- define "pursuit.pullContainers" -}}
{{- if eq .Values.models.source "pull" }}
initContainers:
  {{- range $i, $each := .Values.models.pull }}
  - name: pull-{{ $i }}
    image: {{ include "pursuit.image" $ }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    command: ["sh", "-c", 'test -e "$PURSUIT_MODELS_DIR/$1/dictionary.json" || { shift; exec node bin/pursuit.js pull "$@"; }', pull]
    args: {{ concat (list $each.id $each.name "--id" $each.id) ($each.args | default list) | toJson }}
    env:
      - {name: PURSUIT_MODELS_DIR, value: {{ include "pursuit.modelsDir" $ }}}
      - {name: HF_HUB_CACHE, value: /var/cache/pursuit/hub}
      {{- with $.Values.models.hub.endpoint }}
      - {name: HF_ENDPOINT, value: {{ . | quote }}}
      {{- end }}
      {{- with $.Values.models.hub.tokenSecret }}
      {{- if .name }}
      - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}}
      {{- end }}
      {{- end }}
    resources: {{ $.Values.resources | toJson }}
    securityContext: {{ include "pursuit.containerSecurity" $ | nindent 6 }}
    volumeMounts:
      - {name: models, mountPath: /var/lib/pursuit-models}
      - {name: cache, mountPath: /var/cache/pursuit}
  {{- end }}
{{- end }}
{{- end }}
