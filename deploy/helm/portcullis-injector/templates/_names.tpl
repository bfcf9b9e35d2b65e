{{- define "injector.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "injector.selector" -}}
app.kubernetes.io/name: portcullis
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: injector
{{- end -}}

{{- define "injector.labels" -}}
{{ include "injector.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: portcullis
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "injector.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "injector.secret" -}}
{{- printf "%s-tls" (include "injector.name" .) -}}
{{- end -}}

{{- define "injector.hosts" -}}
{{- $within := printf "%s.%s" (include "injector.name" .) .Release.Namespace -}}
{{- list (printf "%s.svc" $within) (printf "%s.svc.%s" $within .Values.clusterDomain) $within | toJson -}}
{{- end -}}

{{/* The certificate that Helm made, the one in the cluster before a new one, as the data of a Secret. Once for a rendering: the webhook's
     configuration must trust the authority that signed what the pods show. */}}
{{- define "injector.pair" -}}
{{- $hosts := include "injector.hosts" . | fromJsonArray -}}
{{- if not (hasKey .Values "madePair") -}}
{{- $kept := lookup "v1" "Secret" .Release.Namespace (include "injector.secret" .) -}}
{{- $fits := eq (dig "metadata" "annotations" "portcullis/hosts" "" $kept) (join "," $hosts) -}}
{{- if and $kept $kept.data $fits -}}
{{- $_ := set .Values "madePair" $kept.data -}}
{{- else -}}
{{- $days := int .Values.certificate.days -}}
{{- $authority := genCA (printf "%s authority" (include "injector.name" .)) $days -}}
{{- $pair := genSignedCert (first $hosts) (list) $hosts $days $authority -}}
{{- $_ := set .Values "madePair" (dict "ca.crt" ($authority.Cert | b64enc) "tls.crt" ($pair.Cert | b64enc) "tls.key" ($pair.Key | b64enc)) -}}
{{- end -}}
{{- end -}}
{{- .Values.madePair | toJson -}}
{{- end -}}
