# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh and up set the folders and addresses
# The cluster's certificates and the kubeconfigs made from them. P-256 keys, because they are made in milliseconds. Valid
# for a month: a lab older than that is brought down and up again.

make_authority() {
  [ ! -e "$pki/ca.crt" ] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=assay-lab \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature \
    -keyout "$pki/ca.key" -out "$pki/ca.crt" 2> "$logs/openssl.log"
  openssl ecparam -name prime256v1 -genkey -noout -out "$pki/service-accounts.key"
  openssl ec -in "$pki/service-accounts.key" -pubout -out "$pki/service-accounts.pub" 2>> "$logs/openssl.log"
}

# certificate NAME SUBJECT [ALTERNATIVE_NAMES]
certificate() {
  [ ! -e "$pki/$1.crt" ] || return 0
  local extensions="extendedKeyUsage=serverAuth,clientAuth"
  [ -z "${3:-}" ] || extensions+=$'\n'"subjectAltName=$3"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
    -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>> "$logs/openssl.log"
  openssl x509 -req -days 30 -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
    -in "$pki/$1.csr" -out "$pki/$1.crt" -extfile <(echo "$extensions") 2>> "$logs/openssl.log"
}

# kubeconfig NAME SUBJECT: a certificate and the kubeconfig that holds it.
kubeconfig() {
  certificate "$1" "$2"
  write "$config/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: assay-lab
contexts: [{name: assay-lab, context: {cluster: assay-lab, user: $1}}]
clusters: [{name: assay-lab, cluster: {server: "$api_url", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}}]
YAML
}
