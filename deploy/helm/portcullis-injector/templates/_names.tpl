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

{{/* The namespaces whose pods nobody asks about: what the webhook itself needs must not wait for it. */}}
{{- define "injector.excluded" -}}
{{- $excluded := append .Values.excludedNamespaces .Release.Namespace -}}
{{- if and (eq .Values.certificate.source "certManager") (eq .Values.selection "optOut") (eq .Values.webhook.failurePolicy "Fail") -}}
{{- $excluded = append $excluded .Values.certificate.certManagerNamespace -}}
{{- end -}}
{{- uniq $excluded | toJson -}}
{{- end -}}

{{/* The certificate that Helm made, as the annotations and the data of a Secret: the one in the cluster for as long as it is for the same
     names and days and in the first half of them, else a new one. Once for a rendering: the webhook's configuration must trust the
     authority that signed what the pods show. Pods show the one before for some minutes after an upgrade; so its authority is kept
     (previous-ca.crt) up to the first upgrade that comes a day later or more. */}}
{{- define "injector.pair" -}}
{{- if not (hasKey .Values "madePair") -}}
{{- $hosts := include "injector.hosts" . | fromJsonArray -}}
{{- $days := int .Values.certificate.days -}}
{{- $kept := lookup "v1" "Secret" .Release.Namespace (include "injector.secret" .) -}}
{{- $before := default dict $kept.data -}}
{{- $annotations := dict "portcullis/hosts" (join "," $hosts) "portcullis/days" (toString $days) -}}
{{- $made := dig "metadata" "annotations" "portcullis/made" "" $kept -}}
{{- $age := sub (now | unixEpoch | int64) (int64 $made) -}}
{{- $fits := and (ne $made "") (lt $age (mul $days 43200)) (get $before "ca.crt") -}}
{{- range $key, $value := $annotations -}}
{{- $fits = and $fits (eq (dig "metadata" "annotations" $key "" $kept) $value) -}}
{{- end -}}
{{- if $fits -}}
{{- $data := ternary (omit $before "previous-ca.crt") $before (gt $age 86400) -}}
{{- $_ := set .Values "madePair" (dict "annotations" (set $annotations "portcullis/made" $made) "data" $data) -}}
{{- else -}}
{{- $authority := genCA (printf "%s authority" (include "injector.name" .)) $days -}}
{{- $pair := genSignedCert (first $hosts) (list) $hosts $days $authority -}}
{{- $data := dict "ca.crt" ($authority.Cert | b64enc) "tls.crt" ($pair.Cert | b64enc) "tls.key" ($pair.Key | b64enc) -}}
{{- with get $before "ca.crt" -}}{{- $_ := set $data "previous-ca.crt" . -}}{{- end -}}
{{- $_ := set .Values "madePair" (dict "annotations" (set $annotations "portcullis/made" (now | unixEpoch)) "data" $data) -}}
{{- end -}}
{{- end -}}
{{- .Values.madePair | toJson -}}
{{- end -}}
