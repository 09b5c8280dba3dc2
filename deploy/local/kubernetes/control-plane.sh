# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh and up set the folders and addresses
# etcd, the API server and the controller manager: all that a client of the API can see. The light cluster is this and
# nothing else; without a scheduler and a node, its pods stay Pending.

start_control_plane() { # light | full
  make_authority
  certificate api-server /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$gateway,IP:10.96.0.1"
  certificate api-server-to-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
  kubeconfig admin /O=system:masters/CN=admin
  kubeconfig controller-manager /CN=system:kube-controller-manager
  start_etcd
  start_api_server
  wait_until_ready 60 kube-apiserver answers readyz
  start_controller_manager "$1"
}

# etcd listens on sockets in the cluster's folder: no ports to choose, and nobody else's client can reach it. The data of
# a lab may be lost with the machine, so it never waits for the disk; the long heartbeat lets a busy machine be late.
start_etcd() {
  local client=unix://etcd:0 peer=unix://etcd-peer:0
  start etcd etcd --name lab --data-dir "$lab/etcd" --unsafe-no-fsync --heartbeat-interval 500 --election-timeout 5000 \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "lab=$peer" \
    --logger zap --log-level warn
  wait_until_ready 20 etcd test -S "$lab/etcd:0"
}

# InternalIP first: logs and exec would look up the node's name in the host's DNS otherwise.
start_api_server() {
  start kube-apiserver kube-apiserver --etcd-servers unix://etcd:0 \
    --bind-address "$api_address" --advertise-address "$api_address" --secure-port "$api_port" \
    --tls-cert-file "$pki/api-server.crt" --tls-private-key-file "$pki/api-server.key" --client-ca-file "$pki/ca.crt" \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$pki/api-server-to-kubelet.crt" --kubelet-client-key "$pki/api-server-to-kubelet.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/service-accounts.pub" --service-account-signing-key-file "$pki/service-accounts.key" \
    --service-cluster-ip-range "$service_cidr" --authorization-mode Node,RBAC \
    --enable-admission-plugins NodeRestriction --allow-privileged --profiling=false \
    --etcd-count-metric-poll-period 0 --etcd-db-metric-poll-interval 0
}

answers() { kubectl --kubeconfig "$admin_kubeconfig" get --raw "/$1"; }

# Only the controllers that Assay or its chart can meet: each one has its own credentials, asks for them at start-up, and
# delays the default service account. The rates are raised for the same reason.
start_controller_manager() { # light | full
  local -a controllers=(garbage-collector namespace serviceaccount serviceaccount-token root-ca-certificate-publisher
    clusterrole-aggregation deployment replicaset statefulset disruption endpointslice validatingadmissionpolicy-status)
  [ "$1" = light ] || controllers+=(daemonset job cronjob ttl-after-finished pod-garbage-collector node-lifecycle
    taint-eviction horizontal-pod-autoscaler)
  local list
  printf -v list '%s-controller,' "${controllers[@]}"
  start kube-controller-manager kube-controller-manager --kubeconfig "$config/controller-manager.kubeconfig" \
    --controllers "${list%,}" --use-service-account-credentials --root-ca-file "$pki/ca.crt" \
    --service-account-private-key-file "$pki/service-accounts.key" --leader-elect=false --secure-port 0 \
    --kube-api-qps 200 --kube-api-burst 400
  wait_until_ready 30 kube-controller-manager answers api/v1/namespaces/default/serviceaccounts/default
}
