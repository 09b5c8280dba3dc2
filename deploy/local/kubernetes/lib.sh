# shellcheck shell=bash
# What up and down share beyond the lab's own helpers: the cluster's folder, its addresses, and how a process is started
# and waited for. Nothing here starts anything by itself.
# shellcheck disable=SC2034 # used by those who source this

# shellcheck source=deploy/local/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
kubernetes=$here/kubernetes

# The bridge of the full cluster. Pods, API server, DNS and the lab's stores meet on the gateway's address; pods get no
# route to anywhere else, so that nothing they do leaves the machine.
bridge=assay0
gateway=10.244.0.1
pod_cidr=10.244.0.0/24
service_cidr=10.96.0.0/16
node=lab

# use_folder DIR: everything below works on the cluster that lives there. The helpers of common.sh keep their pid files
# in $lab, so each cluster has its own.
use_folder() {
  mkdir -p "$1"
  lab=$(cd "$1" && pwd)
  logs=$lab/log pki=$lab/pki config=$lab/config
  admin_kubeconfig=$config/admin.kubeconfig
  # Everything the full cluster starts goes into a cgroup of its own: shims and containers have parents that are gone by
  # the time we end them, but they cannot leave their cgroup.
  cgroup_root=/sys/fs/cgroup
  [ -e $cgroup_root/cgroup.controllers ] || cgroup_root=/sys/fs/cgroup/pids      # the older hierarchy
  cgroup=$cgroup_root/assay-$(sha256sum <<< "$lab" | cut -c1-12)
}

# step WORDS...: a headline of what comes next.
step() { say ""; say "== $*"; }

# start NAME COMMAND...: starts it detached and remembers it; does nothing when it already runs.
start() {
  local name=$1
  shift
  ! running_process "$name" > /dev/null || return 0
  (
    [ ! -d "$cgroup" ] || echo "$BASHPID" > "$cgroup/cgroup.procs"
    cd "$lab" || exit
    exec setsid "$@"
  ) >> "$logs/$name.log" 2>&1 < /dev/null &
  remember_process "$name" $!
  disown      # its end is told by its log, not by this shell
}

# wait_until_ready SECONDS NAME COMMAND...: until COMMAND succeeds. A process that has died is told at once, with its last words.
wait_until_ready() {
  local deadline=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    if ! running_process "$name" > /dev/null; then
      tail -n 5 "$logs/$name.log" >&2
      die "$name has ended; see $logs/$name.log"
    fi
    [ "$SECONDS" -lt "$deadline" ] || die "$name is not ready in time; see $logs/$name.log"
    sleep 0.05
  done
}

# write FILE: from standard input, and only when it differs: kube-proxy ends itself when its configuration is rewritten.
write() {
  cat > "$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}
