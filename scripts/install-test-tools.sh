#!/usr/bin/env bash
# Installs what the tests need, where it is missing: from Debian, and the tools of the tests in
# JavaScript by npm, as the lockfiles say.
set -euo pipefail
cd "$(dirname "$0")/.."

install_javascript_tools() {
    scripts/has-node.sh || return 0
    local folder
    for folder in clients/js tests/js; do
        if [ "$folder/package-lock.json" -nt "$folder/node_modules/.package-lock.json" ]; then
            (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error)
        fi
    done
}

missing=()
if ! command -v postgres >/dev/null && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    missing+=(postgresql)
fi
if ! command -v nats-server >/dev/null && [ ! -x /usr/sbin/nats-server ]; then
    missing+=(nats-server)
fi
if ! command -v haproxy >/dev/null && [ ! -x /usr/sbin/haproxy ]; then
    missing+=(haproxy)
fi
if ! command -v npm >/dev/null; then
    missing+=(nodejs npm)
fi
if ! command -v chromium >/dev/null && [ -z "${CHROMIUM:-}" ]; then
    # Chromium on a machine without fonts shows no text.
    missing+=(chromium fonts-dejavu-core)
fi
if ! command -v valgrind >/dev/null; then
    missing+=(valgrind)
fi
if ! command -v c++ >/dev/null; then
    # libFuzzer is C++.
    missing+=(g++)
fi
if ! ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; then
    missing+=(libfaketime)
fi
if [ ${#missing[@]} -eq 0 ]; then
    install_javascript_tools
    exit 0
fi

echo "installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "cannot install ${missing[*]}: not root, and no sudo here" >&2
        exit 1
    fi
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
install_javascript_tools
