#!/usr/bin/env bash
# Runs the benches: `benches/run.sh`, or one of them: `benches/run.sh fanout`.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
cargo bench --locked --bench hub -- "$@"
