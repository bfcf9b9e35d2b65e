{{/* The keys that this chart writes itself. */}}
{{- define "gateway.configuration" -}}
{{- $secrets := "/run/secrets/portcullis" -}}
{{- $listen := include "gateway.socketAddress" .Values.traffic -}}
{{- if .Values.traffic.tls.secretName -}}
{{- $pair := dict "chain" (printf "%s/traffic-tls/tls.crt" $secrets) "key" (printf "%s/traffic-tls/tls.key" $secrets) -}}
{{- $listen = dict "address" $listen "tls" (dict "certificates" (list $pair)) -}}
{{- end -}}
{{- $pair := dict "chain" (printf "%s/admin-tls/tls.crt" $secrets) "key" (printf "%s/admin-tls/tls.key" $secrets) -}}
{{- $address := include "gateway.socketAddress" (dict "address" .Values.traffic.address "port" .Values.admin.port) -}}
{{- $near := dict "address" $address "tls" (dict "certificates" (list $pair)) -}}
{{- $tokens := list -}}
{{- range .Values.admin.tokens -}}
{{- $tokens = append $tokens (dict "name" .name "role" .role "file" (printf "%s/tokens/%s" $secrets .name)) -}}
{{- end -}}
{{- $hosts := include "gateway.adminHosts" . | fromJsonArray -}}
{{- $admin := dict "listen" (list "unix:/run/portcullis/admin.sock" $near) "tokens" $tokens "hosts" $hosts -}}
{{- $timeouts := merge (dict "drain" (printf "%ds" (int .Values.shutdown.drainSeconds))) (default dict .Values.config.timeouts) -}}
{{- $own := dict "listen" $listen "admin" $admin "state" "/var/lib/portcullis/gateway" "timeouts" $timeouts -}}
{{- merge $own (omit .Values.config "timeouts") | toYaml -}}
{{- end -}}

{{/* What belongs to the process: a change of it needs a new pod, all else is read while it runs. */}}
{{- define "gateway.processKeys" -}}
{{- $all := include "gateway.configuration" . | fromYaml -}}
{{- pick $all "listen" "admin" "state" "workers" "access_log" "access_log_format" "metrics" "traces" "notifications" "delivery" "kubernetes" | toJson -}}
{{- end -}}

{{/* What no schema can say clearly. */}}
{{- define "gateway.check" -}}
{{- if not .Values.config.services -}}
{{- if not .Values.config.delivery -}}
{{- fail "config.services is empty: write what is proxied, such as config: {services: [{name: shop, stable: {version: 1.4.0, endpoints: [\"shop-stable:8080\"]}}]}" -}}
{{- end -}}
{{- end -}}
{{- if not .Values.admin.tokens -}}
{{- fail "admin.tokens is empty: the admin API can be reached from other machines and must know somebody; make a Secret with: kubectl create secret generic NAME --from-literal=viewer=\"$(openssl rand -hex 32)\", and write admin: {tokens: [{name: prometheus, role: viewer, secretName: NAME, secretKey: viewer}]}" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (ne .Values.state.kind "emptyDir") -}}
{{- fail (printf "replicas is %d and state.kind is %s: a folder of state belongs to one running proxy; write replicas: 1, or state: {kind: emptyDir}" (int .Values.replicas) .Values.state.kind) -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) .Values.httpRoutes -}}
{{- fail (printf "replicas is %d and httpRoutes is set: each replica judges by itself, and they would undo each other's shares of a route; write replicas: 1, or leave httpRoutes out" (int .Values.replicas)) -}}
{{- end -}}
{{- if and (eq .Values.state.kind "existingClaim") (not .Values.state.claimName) -}}
{{- fail "state.kind is existingClaim and state.claimName is empty: name the PersistentVolumeClaim" -}}
{{- end -}}
{{- if and (eq .Values.admin.tls.source "certManager") (not .Values.admin.tls.issuer.name) -}}
{{- fail "admin.tls.source is certManager and admin.tls.issuer.name is empty: name the Issuer or ClusterIssuer" -}}
{{- end -}}
{{- if and (eq .Values.admin.tls.source "secret") (not .Values.admin.tls.secretName) -}}
{{- fail "admin.tls.source is secret and admin.tls.secretName is empty: name a Secret of type kubernetes.io/tls" -}}
{{- end -}}
{{- if eq (int .Values.traffic.port) (int .Values.admin.port) -}}
{{- fail (printf "traffic.port and admin.port are both %d: each needs one of its own" (int .Values.admin.port)) -}}
{{- end -}}
{{- end -}}
