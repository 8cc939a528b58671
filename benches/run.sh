#!/usr/bin/env bash
# Runs the benches: `benches/run.sh`, or one of them: `benches/run.sh fanout`.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"

# Builds the Socket.IO servers the hub is measured beside; one that cannot be had is left out.
build_socketio_peers() {
    if scripts/has-node.sh; then
        (cd benches/peers && npm ci --loglevel=error) || echo "socket.io could not be installed" >&2
    else
        echo "socket.io needs Node 20 or newer" >&2
    fi
    cargo build --release --locked --quiet --manifest-path benches/peers/socketioxide/Cargo.toml \
        --target-dir target/peers || echo "socketioxide could not be built" >&2
}

case "${1:-socketio}" in
    socketio) build_socketio_peers ;;
esac
cargo bench --locked --bench hub -- "$@"
