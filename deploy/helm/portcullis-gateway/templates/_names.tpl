{{- define "gateway.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway.serviceName" -}}
{{- default (include "gateway.name" .) .Values.service.name -}}
{{- end -}}

{{- define "gateway.adminName" -}}
{{- printf "%s-admin" (include "gateway.name" .) -}}
{{- end -}}

{{- define "gateway.adminHosts" -}}
{{- $name := include "gateway.adminName" . -}}
{{- $within := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $within (printf "%s.svc" $within) (printf "%s.svc.%s" $within .Values.clusterDomain) -}}
{{- concat $hosts .Values.admin.hosts | uniq | toJson -}}
{{- end -}}

{{- define "gateway.adminSecret" -}}
{{- default (printf "%s-tls" (include "gateway.adminName" .)) .Values.admin.tls.secretName -}}
{{- end -}}

{{/* Two names of routes may differ in nothing but a dot, or in what is cut off. */}}
{{- define "gateway.routeRole" -}}
{{- $name := index . 1 -}}
{{- printf "%s-route-%s-%s" (include "gateway.name" (index . 0)) ($name | replace "." "-" | trunc 100 | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: portcullis
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: portcullis
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "gateway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gateway.socketAddress" -}}
{{- $address := .address -}}
{{- if contains ":" $address }}{{ $address = printf "[%s]" $address }}{{ end -}}
{{- printf "%s:%d" $address (int .port) -}}
{{- end -}}

{{/* What scrapes: the first token with the role viewer, as the reference of a secret's key. */}}
{{- define "gateway.scrapeToken" -}}
{{- $found := dict -}}
{{- range .Values.admin.tokens -}}
{{- if and (eq .role "viewer") (not $found.name) -}}
{{- $found = dict "name" .secretName "key" .secretKey -}}
{{- end -}}
{{- end -}}
{{- if not $found.name -}}
{{- fail "admin.tokens has none with the role viewer, and monitoring scrapes with one; add {name: prometheus, role: viewer, secretName: NAME, secretKey: KEY}" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "gateway.scrapeEndpoint" -}}
port: admin
scheme: https
path: /metrics
interval: {{ .Values.monitoring.interval }}
authorization:
  credentials: {{ include "gateway.scrapeToken" . }}
tlsConfig:
  serverName: {{ include "gateway.adminName" . }}.{{ .Release.Namespace }}.svc
  ca:
    secret:
      name: {{ include "gateway.adminSecret" . }}
      key: ca.crt
{{- end -}}
