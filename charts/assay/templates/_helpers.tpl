{{- define "assay.name" -}}
{{- $name := printf "%s-%s" .Release.Name .Chart.Name }}
{{- if contains .Chart.Name .Release.Name }}{{ $name = .Release.Name }}{{ end }}
{{- $name | trunc 45 | trimSuffix "-" }}
{{- end }}

{{- define "assay.selector" -}}
app.kubernetes.io/name: assay-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "assay.labels" -}}
{{ include "assay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: assay
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "assay.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "assay.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- /* The reference of an image: (list $ .Values.image). A digest wins over a tag. */}}
{{- define "assay.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 }}
{{- $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* What the "restricted" pod security standard asks for, and a root file system that nobody writes to. */}}
{{- define "assay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "assay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Kind of the roles: one for the cluster, or one in each watched namespace. */}}
{{- define "assay.roleKind" -}}
{{ if .Values.watchNamespaces }}Role{{ else }}ClusterRole{{ end }}
{{- end }}
