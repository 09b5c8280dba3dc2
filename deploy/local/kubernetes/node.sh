# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh and up set the folders and addresses
# The one node of the full cluster: a bridge, containerd, the kubelet, kube-proxy and DNS. Needs root.

# What the kubelet and kube-proxy change in the kernel's settings, kept so that `down` can put it back.
changed_settings=(net.ipv4.ip_forward vm.overcommit_memory kernel.panic kernel.panic_on_oops)

# Ends with an error where another Kubernetes runs: `down` could not tell its network rules from ours.
refuse_another_cluster() {
  [ ! -e "$lab/sysctl.saved" ] || return 0
  ! iptables-save | grep -qE 'KUBE-|CNI-' ||
    die "this machine already has the network rules of a Kubernetes; stop that one first (or \`deploy/local/kubernetes/down\` if it was ours)"
  [ ! -e "/sys/class/net/$bridge" ] || die "a network device $bridge exists already; remove it by: ip link delete $bridge"
}

# The bridge exists before the first pod, because the API server listens on its address.
make_network() {
  local key
  [ -e "$lab/sysctl.saved" ] || for key in "${changed_settings[@]}"; do
    echo "$key=$(sysctl -n "$key")"
  done > "$lab/sysctl.saved"
  if [ ! -e "/sys/class/net/$bridge" ]; then
    ip link add "$bridge" type bridge
    ip addr add "$gateway/24" dev "$bridge"
    ip link set "$bridge" up
  fi
  sysctl -qw net.ipv4.ip_forward=1
  mkdir -p "$config/cni"
  write "$config/cni/10-lab.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "/var/lib/cni/networks", "ranges": [[{"subnet": "$pod_cidr"}]],
            "routes": [{"dst": "$service_cidr"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}
JSON
}

# containerd and the kubelet share a mount namespace in which /run, /var/lib and /var/log are the lab's own folders: they
# insist on those places, and the machine may have others who use them.
start_containerd() {
  mkdir -p "$lab"/var/{run,lib,log}
  # restrict_oom_score_adj: without the capability to lower it, every sandbox would die at birth.
  write "$config/containerd.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "lab.assay.dev/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$config/cni"
TOML
  write "$config/in-namespace.sh" <<BASH
set -e
# -n: no note of it in the machine's own /run/mount.
mount -n --bind "$lab/var/run" /run
mount -n --bind "$lab/var/lib" /var/lib
mount -n --bind "$lab/var/log" /var/log
mount -n --make-rshared /
exec containerd --config "$config/containerd.toml" --log-level warn
BASH
  start containerd unshare --mount --propagation private bash "$config/in-namespace.sh"
  wait_until_ready 20 containerd containerd_client version
}

containerd_client() { ctr --address "$lab/var/run/containerd.sock" --namespace k8s.io "$@"; }

# The sandbox of every pod is held by a program that only sleeps; ours is made here, because no registry is asked.
make_pause_image() {
  local image=$lab/pause.tar root=$lab/pause
  [ ! -e "$image" ] || return 0
  mkdir -p "$root"
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$root/pause" "$kubernetes/pause/main.go"
  "$repository/deploy/images/oci-layout" --root "$root" --name lab.assay.dev/pause:1 --entrypoint /pause --user 65532 \
    --output "$image" > /dev/null
}

import_image() { containerd_client images import "$1" > "$logs/import.log"; }

start_kubelet() {
  certificate kubelet-server "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$gateway"
  kubeconfig kubelet "/O=system:nodes/CN=system:node:$node"
  # No resolv.conf of the host: pods ask the cluster's DNS, which asks nobody.
  write "$config/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $gateway
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$gateway]
resolvConf: ""
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
volumePluginDir: /var/lib/kubelet/volume-plugins
volumeStatsAggPeriod: -1s
oomScoreAdj: 0
YAML
  start kubelet nsenter --target "$(running_process containerd)" --mount kubelet --config "$config/kubelet.yaml" \
    --kubeconfig "$config/kubelet.kubeconfig" --hostname-override "$node" --node-ip "$gateway"
}

start_scheduler() {
  kubeconfig scheduler /CN=system:kube-scheduler
  start kube-scheduler kube-scheduler --kubeconfig "$config/scheduler.kubeconfig" --leader-elect=false --secure-port 0
}

start_proxy() {
  kubeconfig proxy /CN=system:kube-proxy
  # Zeros leave the machine's connection tracking as it is.
  write "$config/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $config/proxy.kubeconfig}
clusterCIDR: $pod_cidr
bindAddress: $gateway
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: $node
nodePortAddresses: [$gateway/32]
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
iptables: {localhostNodePorts: false, syncPeriod: 1h}
YAML
  start kube-proxy kube-proxy --config "$config/proxy.yaml"
}

start_dns() {
  kubeconfig dns /O=system:masters/CN=coredns
  write "$config/Corefile" <<COREFILE
.:53 {
  bind $gateway
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $config/dns.kubeconfig
    ttl 5
  }
}
COREFILE
  start coredns coredns -conf "$config/Corefile"
}

start_node() {
  make_pause_image
  start_containerd
  import_image "$lab/pause.tar"
  start_scheduler
  start_kubelet
  start_proxy
  start_dns
  wait_until_ready 90 kubelet node_is_ready
}

node_is_ready() {
  local ready='{.status.conditions[?(@.type=="Ready")].status}'
  [ "$(kubectl --kubeconfig "$admin_kubeconfig" get node "$node" -o "jsonpath=$ready")" = True ]
}
