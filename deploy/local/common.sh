# shellcheck shell=bash
# Settings and helpers that the lab's scripts share. Sourced, never run.
# shellcheck disable=SC2034 # used by those who source this

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)

# What is downloaded once and kept: shared by every clone of the same user.
cache=${ASSAY_CACHE:-$HOME/.cache/assay}
# What a running lab leaves behind: data, logs, pid files. `make lab-down` keeps the logs, `make lab-up` starts fresh.
lab=${ASSAY_LAB:-$repository/.lab}

kafka_port=${ASSAY_KAFKA_PORT:-9092}
kafka_controller_port=${ASSAY_KAFKA_CONTROLLER_PORT:-9093}
# A second listener for pods, e.g. PODS://10.244.0.1:9094; empty without Kubernetes.
kafka_pod_listener=${ASSAY_KAFKA_POD_LISTENER:-}
postgres_port=${ASSAY_POSTGRES_PORT:-5433}
redis_port=${ASSAY_REDIS_PORT:-6380}
# Where Postgres and Redis listen: set it to the bridge's address for pods.
listen_addresses=${ASSAY_LISTEN_ADDRESSES:-127.0.0.1}

kafka_home=$cache/kafka-$(sha256sum "$here/kafka/pom.xml" | cut -c1-16)

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# Installs a tool for cargo into the user's cache if it is missing. Astral publishes each release as a wheel: seconds
# instead of the minutes that building it takes.
install_cargo_tool() { # NAME VERSION
  local folder=$cache/$1-$2
  [ ! -x "$folder/bin/$1" ] || return 0
  say "$1: installing $2"
  rm -rf "$folder"
  python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --target "$folder" \
    "astral-dev-toolchain-$1==$2" ||
    cargo install -q --locked --root "$folder" "$1@$2"
}

# The newest Postgres that Debian installed: bookworm has 15.
postgres_bin() {
  local folders
  folders=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$folders" ] || return 1
  printf '%s\n' "$folders"
}

# Postgres refuses to run as root; elsewhere the user who runs the lab owns it.
as_postgres_owner() {
  if [ "$(id -u)" -eq 0 ]; then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
}

# When a process started, in clock ticks since boot: with it a pid means one process only.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The command's name may hold spaces; everything after its closing parenthesis is fixed.
  stat=${stat##*) }
  local fields
  read -ra fields <<< "$stat"
  printf '%s\n' "${fields[19]}"
}

remember_process() { # NAME PID
  printf '%s %s\n' "$2" "$(start_time "$2")" > "$lab/$1.pid"
}

# Prints the pid of a lab process that is still the one we started; fails otherwise.
running_process() { # NAME
  local pid started
  [ -f "$lab/$1.pid" ] || return 1
  read -r pid started < "$lab/$1.pid"
  [ "$(start_time "$pid" || true)" = "$started" ] || return 1
  printf '%s\n' "$pid"
}

wait_for() { # SECONDS WHAT COMMAND...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "$what is not ready in time; see $lab/*.log"
    sleep 0.1
  done
}
